"""OutboxPublisher: the outbox goes out at least once, oldest first, and nothing stands in its way."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pytest

from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.topics import Topics
from agent.domain.errors import StorageError, TransportError, UndeliverableError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, FrameIdentity
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.pipeline.outbox_publisher import BATCH, OutboxPublisher, RestingMessages
from agent.pipeline.worker import Pace, StageThread
from agent.ports import Entry, OutboxMessage, Sink, StoredMessage
from agent.ports.sinks import SinkPolicy
from agent.telemetry import Counters
from storage import SqlOutbox
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import CAMERA, LoopbackTransport
from tests.support.plant import AGENT, Plant, frame

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def commit(rooms: Rooms, *numbers: int, sink: str = "mqtt") -> None:
    entries = []
    for number in numbers:
        identity = FrameIdentity(CAMERA, str(number))
        inspection = Inspection(f"i{number}", identity, "A", Verdict.PASS, "", NOW, NOW)
        entries.append(Entry(inspection, (OutboxMessage(sink, "verdict", f"t/{number}", b"{}"),)))
    assert all(rooms.history.record(entries))


class Bench:
    """A publisher with its transport, run in a thread or once to its end."""

    def __init__(
        self,
        rooms: Rooms,
        outbox: SqlOutbox | None = None,
        *,
        sink: Sink | None = None,
        most_resting: int = 500,
        **pace: float,
    ) -> None:
        self.transport = LoopbackTransport()
        self.transport.start(lambda delivery: None)
        self.counters = Counters()
        self.ending = threading.Event()
        sink = sink or MqttSink(self.transport, MqttMessageComposer(Topics("plant", "cell-7"), "1"))
        quick = Pace(**{"publish_retry_s": 0.02, **pace})
        self.events = EventLog(rooms.history, (), self.counters)
        self.publisher = OutboxPublisher(
            StageThread("publish-mqtt", threading.Event(), self.counters, quick),
            sink,
            outbox or rooms.outbox,
            self.events,
            self.counters,
            self.ending,
            AGENT,
            most_resting=most_resting,
        )
        self._thread = threading.Thread(target=self.publisher.run)

    def run_to_the_end(self) -> None:
        self.ending.set()
        self.publisher.run()

    def __enter__(self) -> Bench:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.publisher.wake()
        self._thread.join(20.0)
        assert not self._thread.is_alive()


def test_everything_goes_out_in_order_and_is_marked(rooms: Rooms) -> None:
    commit(rooms, *range(150))
    bench = Bench(rooms)
    bench.run_to_the_end()
    assert bench.transport.topics() == [f"t/{number}" for number in range(150)]
    assert rooms.outbox.depth() == 0
    assert bench.counters.get("messages_sent") == 150


def test_new_messages_go_out_when_it_is_woken(rooms: Rooms) -> None:
    with Bench(rooms) as bench:
        for number in range(3):
            commit(rooms, number)
            bench.publisher.wake()
            wait_until(lambda number=number: f"t/{number}" in bench.transport.topics(), "the message")  # type: ignore[misc]
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
    assert bench.transport.topics() == ["t/0", "t/1", "t/2"]


def test_messages_that_were_acknowledged_are_marked_together(rooms: Rooms) -> None:
    commit(rooms, *range(20))
    before = rooms.database.commits
    with Bench(rooms) as bench:
        bench.transport.acknowledges = False
        wait_until(lambda: len(bench.transport.tickets) == 20, "the messages")
        bench.transport.acknowledge_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
        assert rooms.database.commits - before == 1


def test_what_was_committed_before_the_end_goes_out_before_the_end(rooms: Rooms) -> None:
    """The recorder's last commit and `ending` both come just after the publisher found nothing."""

    class Late(SqlOutbox):
        def pending(
            self, limit: int, excluding: Collection[int] = (), *, sink: str | None = None
        ) -> Sequence[StoredMessage]:
            found = super().pending(limit, excluding, sink=sink)
            if not bench.ending.is_set():
                commit(rooms, 1)
                bench.ending.set()
                bench.publisher.wake()
            return found

    bench = Bench(rooms, Late(rooms.database, agent_id="cell-7"))
    bench.publisher.run()
    assert bench.transport.topics() == ["t/1"]
    assert rooms.outbox.depth() == 0


def test_without_a_connection_messages_stay_and_go_out_later(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    bench = Bench(rooms)
    bench.transport.refuse = lambda message: TransportError("no connection")
    with bench:
        wait_until(lambda: bench.counters.get("publishes_postponed") >= 2, "retries")
        assert rooms.outbox.depth() == 3
        bench.transport.refuse = lambda message: None
        wait_until(lambda: rooms.outbox.depth() == 0, "the messages")
    assert bench.transport.topics() == ["t/1", "t/2", "t/3"]


def test_ending_without_a_connection_does_not_hang_and_loses_nothing(rooms: Rooms) -> None:
    commit(rooms, 1)
    bench = Bench(rooms)
    bench.transport.refuse = lambda message: TransportError("no connection")
    bench.run_to_the_end()
    assert rooms.outbox.depth() == 1


def test_a_queue_that_is_full_after_two_keeps_the_order(rooms: Rooms) -> None:
    commit(rooms, *range(5))
    bench = Bench(rooms)
    room_for = [2]

    def refuse(message: OutboxMessage) -> Exception | None:
        room_for[0] -= 1
        return TransportError("full") if room_for[0] < 0 else None

    bench.transport.refuse = refuse
    with bench:
        wait_until(lambda: rooms.outbox.depth() == 3, "the first two")
        room_for[0] = 100
        wait_until(lambda: rooms.outbox.depth() == 0, "the rest")
    assert bench.transport.topics() == [f"t/{number}" for number in range(5)]


def test_a_late_acknowledgement_is_waited_for_and_not_answered_by_sending_again(rooms: Rooms) -> None:
    """The broker's answers wait behind a window of frames that the agent has yet to read."""
    commit(rooms, 1)
    bench = Bench(rooms)
    bench.transport.acknowledges = False
    with bench:
        wait_until(lambda: bench.transport.topics() == ["t/1"], "the message")
        commit(rooms, 2)
        bench.publisher.wake()
        wait_until(lambda: "t/2" in bench.transport.topics(), "the one behind it")
        bench.transport.acknowledge_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
    assert bench.transport.topics() == ["t/1", "t/2"]


def test_what_a_lost_connection_left_open_is_sent_again(rooms: Rooms) -> None:
    commit(rooms, 1)
    bench = Bench(rooms)
    bench.transport.acknowledges = False
    with bench:
        wait_until(lambda: bench.transport.topics() == ["t/1"], "the message")
        bench.transport.acknowledges = True
        bench.transport.lose_connection()
        wait_until(lambda: rooms.outbox.depth() == 0, "the acknowledgement")
    assert bench.transport.topics() == ["t/1", "t/1"]


def test_the_end_waits_for_no_acknowledgement_that_does_not_come(rooms: Rooms) -> None:
    commit(rooms, 1)
    bench = Bench(rooms, last_s=0.05)
    bench.transport.acknowledges = False
    bench.run_to_the_end()
    assert rooms.outbox.depth() == 1, "it is sent again after the next start"


class Counting(SqlOutbox):
    """Counts questions and the rows that they brought, payloads and all."""

    questions = 0
    rows = 0

    def pending(
        self, limit: int, excluding: Collection[int] = (), *, sink: str | None = None
    ) -> Sequence[StoredMessage]:
        found = super().pending(limit, excluding, sink=sink)
        self.questions += 1
        self.rows += len(found)
        return found


def test_while_acknowledgements_are_due_no_row_is_read_twice(rooms: Rooms) -> None:
    outbox = Counting(rooms.database, agent_id="cell-7")
    bench = Bench(rooms, outbox)
    bench.transport.acknowledges = False
    commit(rooms, *range(100))
    with bench:
        wait_until(lambda: len(bench.transport.published) == 100, "the messages")
        for number in range(100, 120):
            commit(rooms, number)
            bench.publisher.wake()
            wait_until(lambda number=number: f"t/{number}" in bench.transport.topics(), "the message")  # type: ignore[misc]
        before = outbox.questions
        wait_until(lambda: outbox.questions >= before + 3, "three more looks")
        assert outbox.rows == 120
        bench.transport.acknowledge_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
    assert outbox.rows == 120
    assert len(bench.transport.published) == 120


def test_the_outbox_is_not_asked_while_there_is_nothing_new(rooms: Rooms) -> None:
    outbox = Counting(rooms.database, agent_id="cell-7")
    bench = Bench(rooms, outbox, publish_retry_s=3600.0)
    bench.transport.acknowledges = False
    acknowledged = []
    commit(rooms, *range(10))
    with bench:
        wait_until(lambda: len(bench.transport.published) == 10, "the messages")
        questions = outbox.questions
        for ticket in bench.transport.tickets:
            ticket.acknowledged = True
            acknowledged.append(ticket)
            wait_until(lambda: rooms.outbox.depth() == 10 - len(acknowledged), "the mark")
        assert outbox.questions == questions


def test_a_full_client_is_filled_up_as_soon_as_it_has_room(rooms: Rooms) -> None:
    commit(rooms, *range(50))
    bench = Bench(rooms, publish_retry_s=3600.0)
    bench.transport.acknowledges = False
    bench.transport.refuse = lambda message: (
        TransportError("full")
        if sum(not ticket.acknowledged for ticket in bench.transport.tickets) >= 4
        else None
    )
    with bench:
        for sent in range(4, 50, 4):
            wait_until(lambda sent=sent: len(bench.transport.published) >= sent, "four more")  # type: ignore[misc]
            bench.transport.acknowledge_all()
        wait_until(lambda: len(bench.transport.published) == 50, "the last")
        bench.transport.acknowledge_all()
    assert bench.transport.topics() == [f"t/{number}" for number in range(50)]
    assert rooms.outbox.depth() == 0


def test_a_thread_that_dies_of_a_message_twice_gives_it_up_the_third_time(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    bench = Bench(rooms)
    bench.transport.refuse = lambda message: KeyError("odd") if message.destination == "t/2" else None
    bench.ending.set()
    for _ in range(2):
        with pytest.raises(KeyError):
            bench.publisher.run()
    bench.publisher.run()
    assert bench.transport.topics() == ["t/1", "t/3"]
    assert rooms.outbox.depth() == 0
    assert rooms.rows("event")[0]["kind"] == "undeliverable"


def test_a_message_that_no_broker_takes_lets_the_others_pass_and_leaves_an_event(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    bench = Bench(rooms)
    bench.transport.refuse = lambda message: (
        UndeliverableError("too large") if message.destination == "t/2" else None
    )
    bench.run_to_the_end()
    assert bench.transport.topics() == ["t/1", "t/3"]
    assert rooms.outbox.depth() == 0
    assert bench.counters.get("messages_undeliverable") == 1
    event = rooms.rows("event")[0]
    assert (event["kind"], event["severity"]) == ("undeliverable", "error")
    assert "t/2" in event["message"]
    assert "too large" in event["message"]


def test_a_whole_batch_that_nobody_takes_does_not_stand_in_the_way(rooms: Rooms) -> None:
    commit(rooms, *range(BATCH + 1))
    bench = Bench(rooms)
    last = f"t/{BATCH}"
    bench.transport.refuse = lambda message: (
        UndeliverableError("too large") if message.destination != last else None
    )
    bench.run_to_the_end()
    assert bench.transport.topics() == [last]
    assert rooms.outbox.depth() == 0


def test_a_database_that_is_away_for_a_while_costs_nothing(rooms: Rooms) -> None:
    class Flaky(SqlOutbox):
        failures = 3

        def mark_sent(self, ids: Sequence[int]) -> None:
            if self.failures:
                self.failures -= 1
                raise StorageError("locked")
            super().mark_sent(ids)

    commit(rooms, 1)
    with Bench(rooms, Flaky(rooms.database, agent_id="cell-7")) as bench:
        wait_until(lambda: rooms.outbox.depth() == 0, "the mark")
    assert set(bench.transport.topics()) == {"t/1"}


def test_a_refused_message_rests_and_is_tried_again(rooms: Rooms) -> None:
    commit(rooms, 1)
    bench = Bench(rooms, refusal_rest_s=0.02)
    bench.transport.acknowledges = False
    with bench:
        wait_until(bench.transport.topics, "the first try")
        bench.transport.acknowledges = True
        bench.transport.refuse_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the mark")
    assert bench.transport.topics() == ["t/1", "t/1"]
    assert bench.counters.get("messages_put_off") == 1
    assert not rooms.rows("event")


def test_refused_messages_beyond_the_bound_are_given_up_with_an_event(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    bench = Bench(rooms, refusal_rest_s=600.0, most_resting=1)
    bench.transport.acknowledges = False
    with bench:
        wait_until(lambda: len(bench.transport.topics()) == 3, "the three")
        bench.transport.refuse_all()
        wait_until(lambda: rooms.outbox.depth() == 1, "the two that are given up")
    assert bench.counters.get("messages_undeliverable") == 2
    assert {event["kind"] for event in rooms.rows("event")} == {"undeliverable"}
    assert "t/2" in rooms.rows("event")[0]["message"]


def test_each_refusal_doubles_the_rest() -> None:
    now = [0.0]
    one = RestingMessages(1.0, clock=lambda: now[0])
    for times, length_s in enumerate((1.0, 2.0, 4.0), 1):
        assert one.refused(7) == times
        now[0] += length_s - 0.5
        assert 7 in one.numbers
        now[0] += 0.5
        assert 7 not in one.numbers
    one.forget(7)
    assert one.refused(7) == 1, "as if it had never been refused"


# ------------------------------------------------------------------------------------------- sinks


class OtherSink(LoopbackTransport):
    """A second output on a transport of its own."""

    name = "other"
    policy = SinkPolicy(longest_pause_s=0.05, most_refusals=2)
    parked: str | None = None

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        return (OutboxMessage(self.name, "verdict", inspection.identity.frame_id, b"{}"),)

    def compose_alert(self, event: Event, camera: Camera) -> tuple[OutboxMessage, ...]:
        return (OutboxMessage(self.name, "alert", event.kind, b"{}"),)

    def close(self) -> None:
        pass


def other_sink() -> OtherSink:
    sink = OtherSink()
    sink.start(lambda delivery: None)
    return sink


def test_a_sink_that_is_away_holds_up_no_other(rooms: Rooms) -> None:
    other = other_sink()
    other.refuse = lambda message: TransportError("no route to host")
    plant = Plant(rooms, sinks=(other,))
    plant.pipeline.start()
    plant.inspected(*(frame(seed) for seed in range(20)))
    wait_until(lambda: len(plant.transport.topics()) >= 20, "the verdicts on MQTT")
    wait_until(lambda: rooms.outbox.depth(sink="mqtt") == 0, "their marks")
    assert rooms.outbox.depth(sink="other") == 20
    other.refuse = lambda message: None
    wait_until(lambda: rooms.outbox.depth() == 0, "the other sink")
    plant.pipeline.stop(10.0)
    sent = [one.destination for one in other.published if one.kind == "verdict"]
    assert sent == [f"f-{seed}" for seed in range(20)], "in the order of the frames"


def test_a_parked_sink_is_reported_once_and_once_more_when_it_is_back(rooms: Rooms) -> None:
    other = other_sink()
    plant = Plant(rooms, sinks=(other,))
    plant.pipeline.start()
    other.parked = "the receiver answers HTTP 403; put its key right"
    wait_until(lambda: "sink-parked" in plant.events(), "the event")
    wait_until(lambda: "plant/sightline/cell-7/alert" in plant.transport.topics(), "the alert on MQTT")
    (state,) = (one for one in plant.pipeline.state().sinks if one.name == "other")
    assert state.parked == other.parked
    plant.inspected(frame(1), frame(2))
    other.parked = None
    wait_until(lambda: "sink-back" in plant.events(), "the end of it")
    plant.pipeline.stop(10.0)
    assert [kind for kind in plant.events() if kind.startswith("sink")] == ["sink-parked", "sink-back"]


def test_a_message_that_a_sink_refuses_too_often_is_given_up_with_an_event(rooms: Rooms) -> None:
    other = other_sink()
    other.acknowledges = False
    commit(rooms, 1, sink="other")
    bench = Bench(rooms, sink=other, refusal_rest_s=0.01)
    with bench:
        for tries in (1, 2):
            wait_until(lambda tries=tries: len(other.published) == tries, "a try")  # type: ignore[misc]
            other.refuse_all("HTTP 400")
        wait_until(lambda: rooms.outbox.depth() == 0, "the end of it")
    (event,) = rooms.rows("event")
    assert event["kind"] == "undeliverable"
    assert "HTTP 400, 2 times" in event["message"]


def test_the_end_does_not_wait_for_a_slow_receiver(rooms: Rooms) -> None:
    """What is not sent in time stands in the outbox and goes out after the next start."""
    commit(rooms, *range(200))
    bench = Bench(rooms, last_s=0.05)

    def slow(message: OutboxMessage) -> Exception | None:
        threading.Event().wait(0.02)
        return None

    bench.transport.refuse = slow
    bench.run_to_the_end()
    assert 0 < len(bench.transport.published) < 64
    assert rooms.outbox.depth() > 100


@pytest.mark.slow
def test_a_slow_receiver_is_marked_after_a_second_and_not_after_a_whole_batch(rooms: Rooms) -> None:
    """What is not marked is sent once more after a kill."""
    commit(rooms, *range(40))
    bench = Bench(rooms)
    hold = threading.Event()

    def slow(message: OutboxMessage) -> Exception | None:
        if message.destination == "t/1":
            hold.wait(1.2)
        if message.destination == "t/2":
            assert rooms.outbox.depth() == 38, "the first two are marked before the third is handed over"
        return None

    bench.transport.refuse = slow
    bench.run_to_the_end()
    assert rooms.outbox.depth() == 0
    assert bench.transport.topics() == [f"t/{number}" for number in range(40)]


@pytest.mark.slow
def test_a_death_after_a_batch_that_ended_early_is_nobodys_fault(rooms: Rooms) -> None:
    """Only the message that was being handed over is under suspicion."""

    class Dying(SqlOutbox):
        asked = 0

        def pending(
            self, limit: int, excluding: Collection[int] = (), *, sink: str | None = None
        ) -> Sequence[StoredMessage]:
            self.asked += 1
            if self.asked in (2, 4):
                raise KeyError("odd")
            return super().pending(limit, excluding, sink=sink)

    commit(rooms, *range(4))
    bench = Bench(rooms, Dying(rooms.database, agent_id="cell-7"))
    hold = threading.Event()

    def slow(message: OutboxMessage) -> Exception | None:
        hold.wait(1.1)
        return None

    bench.transport.refuse = slow
    bench.ending.set()
    for _ in range(2):
        with pytest.raises(KeyError):
            bench.publisher.run()
    assert bench.publisher._deaths == {}
    bench.publisher.run()
    assert rooms.outbox.depth() == 0
    assert rooms.rows("event") == []
