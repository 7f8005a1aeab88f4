"""The outbox goes out at least once, oldest first, and nothing stands in its way."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pytest

from agent.domain.errors import StorageError, TransportError, UndeliverableError
from agent.domain.frame import FrameIdentity
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.pipeline import outbox_publisher as outbox_drain
from agent.pipeline import outbox_publisher as refusals
from agent.pipeline.outbox_publisher import OutboxPublisher
from agent.ports import Entry, OutboxMessage, StoredMessage
from agent.telemetry import Counters
from storage import SqlOutbox
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import CAMERA, LoopbackTransport

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def commit(rooms: Rooms, *numbers: int) -> None:
    entries = []
    for number in numbers:
        identity = FrameIdentity(CAMERA, str(number))
        inspection = Inspection(f"i{number}", identity, "A", Verdict.PASS, "", NOW, NOW)
        entries.append(Entry(inspection, (OutboxMessage("verdict", f"t/{number}", b"{}"),)))
    assert all(rooms.history.record(entries))


class Drain:
    """A drain with its transport, run in a thread or once to its end."""

    def __init__(self, rooms: Rooms, outbox: SqlOutbox | None = None) -> None:
        self.transport = LoopbackTransport()
        self.transport.start(lambda delivery: None)
        self.counters = Counters()
        self.drain = OutboxPublisher(outbox or rooms.outbox, rooms.history, self.transport, self.counters)
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self.drain.run, args=(self.ending,))

    def run_to_the_end(self) -> None:
        self.ending.set()
        self.drain.run(self.ending)

    def __enter__(self) -> Drain:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.drain.wake()
        self._thread.join(20.0)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_drain, "RETRY_S", 0.02)


def test_everything_goes_out_in_order_and_is_marked(rooms: Rooms) -> None:
    commit(rooms, *range(150))
    drain = Drain(rooms)
    drain.run_to_the_end()
    assert drain.transport.topics() == [f"t/{number}" for number in range(150)]
    assert rooms.outbox.depth() == 0
    assert drain.counters.get("messages_sent") == 150


def test_new_messages_go_out_when_it_is_woken(rooms: Rooms) -> None:
    with Drain(rooms) as drain:
        for number in range(3):
            commit(rooms, number)
            drain.drain.wake()
            wait_until(lambda number=number: f"t/{number}" in drain.transport.topics(), "the message")  # type: ignore[misc]
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
    assert drain.transport.topics() == ["t/0", "t/1", "t/2"]


def test_what_was_committed_before_the_end_goes_out_before_the_end(rooms: Rooms) -> None:
    """The recorder's last commit and `ending` both come just after the drain found nothing."""

    class Late(SqlOutbox):
        def pending(self, limit: int, excluding: Collection[int] = ()) -> Sequence[StoredMessage]:
            found = super().pending(limit, excluding)
            if not drain.ending.is_set():
                commit(rooms, 1)
                drain.ending.set()
                drain.drain.wake()
            return found

    drain = Drain(rooms, Late(rooms.database, agent_id="cell-7"))
    drain.drain.run(drain.ending)
    assert drain.transport.topics() == ["t/1"]
    assert rooms.outbox.depth() == 0


def test_without_a_connection_messages_stay_and_go_out_later(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    drain = Drain(rooms)
    drain.transport.refuse = lambda message: TransportError("no connection")
    with drain:
        wait_until(lambda: drain.counters.get("publishes_postponed") >= 2, "retries")
        assert rooms.outbox.depth() == 3
        drain.transport.refuse = lambda message: None
        wait_until(lambda: rooms.outbox.depth() == 0, "the messages")
    assert drain.transport.topics() == ["t/1", "t/2", "t/3"]


def test_ending_without_a_connection_does_not_hang_and_loses_nothing(rooms: Rooms) -> None:
    commit(rooms, 1)
    drain = Drain(rooms)
    drain.transport.refuse = lambda message: TransportError("no connection")
    drain.run_to_the_end()
    assert rooms.outbox.depth() == 1


def test_a_queue_that_is_full_after_two_keeps_the_order(rooms: Rooms) -> None:
    commit(rooms, *range(5))
    drain = Drain(rooms)
    room_for = [2]

    def refuse(message: OutboxMessage) -> Exception | None:
        room_for[0] -= 1
        return TransportError("full") if room_for[0] < 0 else None

    drain.transport.refuse = refuse
    with drain:
        wait_until(lambda: rooms.outbox.depth() == 3, "the first two")
        room_for[0] = 100
        wait_until(lambda: rooms.outbox.depth() == 0, "the rest")
    assert drain.transport.topics() == [f"t/{number}" for number in range(5)]


def test_a_late_acknowledgement_is_waited_for_and_not_answered_by_sending_again(rooms: Rooms) -> None:
    """The broker's answers wait behind a window of frames that the agent has yet to read."""
    commit(rooms, 1)
    drain = Drain(rooms)
    drain.transport.acknowledges = False
    with drain:
        wait_until(lambda: drain.transport.topics() == ["t/1"], "the message")
        commit(rooms, 2)
        drain.drain.wake()
        wait_until(lambda: "t/2" in drain.transport.topics(), "the one behind it")
        drain.transport.acknowledge_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
    assert drain.transport.topics() == ["t/1", "t/2"]


def test_what_a_lost_connection_left_open_is_sent_again(rooms: Rooms) -> None:
    commit(rooms, 1)
    drain = Drain(rooms)
    drain.transport.acknowledges = False
    with drain:
        wait_until(lambda: drain.transport.topics() == ["t/1"], "the message")
        drain.transport.acknowledges = True
        drain.transport.lose_connection()
        wait_until(lambda: rooms.outbox.depth() == 0, "the acknowledgement")
    assert drain.transport.topics() == ["t/1", "t/1"]


def test_the_end_waits_for_no_acknowledgement_that_does_not_come(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_drain, "FAREWELL_S", 0.05)
    commit(rooms, 1)
    drain = Drain(rooms)
    drain.transport.acknowledges = False
    drain.run_to_the_end()
    assert rooms.outbox.depth() == 1, "it is sent again after the next start"


class Counting(SqlOutbox):
    """Counts questions and the rows that they brought, payloads and all."""

    questions = 0
    rows = 0

    def pending(self, limit: int, excluding: Collection[int] = ()) -> Sequence[StoredMessage]:
        found = super().pending(limit, excluding)
        self.questions += 1
        self.rows += len(found)
        return found


def test_while_acknowledgements_are_due_no_row_is_read_twice(rooms: Rooms) -> None:
    outbox = Counting(rooms.database, agent_id="cell-7")
    drain = Drain(rooms, outbox)
    drain.transport.acknowledges = False
    commit(rooms, *range(100))
    with drain:
        wait_until(lambda: len(drain.transport.published) == 100, "the messages")
        for number in range(100, 120):
            commit(rooms, number)
            drain.drain.wake()
            wait_until(lambda number=number: f"t/{number}" in drain.transport.topics(), "the message")  # type: ignore[misc]
        before = outbox.questions
        wait_until(lambda: outbox.questions >= before + 3, "three more looks")
        assert outbox.rows == 120
        drain.transport.acknowledge_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the marks")
    assert outbox.rows == 120
    assert len(drain.transport.published) == 120


def test_the_outbox_is_not_asked_while_there_is_nothing_new(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_drain, "RETRY_S", 3600.0)
    outbox = Counting(rooms.database, agent_id="cell-7")
    drain = Drain(rooms, outbox)
    drain.transport.acknowledges = False
    settled = []
    commit(rooms, *range(10))
    with drain:
        wait_until(lambda: len(drain.transport.published) == 10, "the messages")
        questions = outbox.questions
        for ticket in drain.transport.tickets:
            ticket.acknowledged = True
            settled.append(ticket)
            wait_until(lambda: rooms.outbox.depth() == 10 - len(settled), "the mark")
        assert outbox.questions == questions


def test_a_full_client_is_filled_up_as_soon_as_it_has_room(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_drain, "RETRY_S", 3600.0)
    commit(rooms, *range(50))
    drain = Drain(rooms)
    drain.transport.acknowledges = False
    drain.transport.refuse = lambda message: (
        TransportError("full")
        if sum(not ticket.acknowledged for ticket in drain.transport.tickets) >= 4
        else None
    )
    with drain:
        for sent in range(4, 50, 4):
            wait_until(lambda sent=sent: len(drain.transport.published) >= sent, "four more")  # type: ignore[misc]
            drain.transport.acknowledge_all()
        wait_until(lambda: len(drain.transport.published) == 50, "the last")
        drain.transport.acknowledge_all()
    assert drain.transport.topics() == [f"t/{number}" for number in range(50)]
    assert rooms.outbox.depth() == 0


def test_a_thread_that_dies_of_a_message_twice_gives_it_up_the_third_time(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    drain = Drain(rooms)
    drain.transport.refuse = lambda message: KeyError("odd") if message.topic == "t/2" else None
    drain.ending.set()
    for _ in range(2):
        with pytest.raises(KeyError):
            drain.drain.run(drain.ending)
    drain.drain.run(drain.ending)
    assert drain.transport.topics() == ["t/1", "t/3"]
    assert rooms.outbox.depth() == 0
    assert rooms.rows("event")[0]["kind"] == "undeliverable"


def test_a_message_that_no_broker_takes_lets_the_others_pass_and_leaves_an_event(rooms: Rooms) -> None:
    commit(rooms, 1, 2, 3)
    drain = Drain(rooms)
    drain.transport.refuse = lambda message: (
        UndeliverableError("too large") if message.topic == "t/2" else None
    )
    drain.run_to_the_end()
    assert drain.transport.topics() == ["t/1", "t/3"]
    assert rooms.outbox.depth() == 0
    assert drain.counters.get("messages_undeliverable") == 1
    event = rooms.rows("event")[0]
    assert (event["kind"], event["severity"]) == ("undeliverable", "error")
    assert "t/2" in event["message"]
    assert "too large" in event["message"]


def test_a_whole_batch_that_nobody_takes_does_not_stand_in_the_way(rooms: Rooms) -> None:
    commit(rooms, *range(outbox_drain.BATCH + 1))
    drain = Drain(rooms)
    last = f"t/{outbox_drain.BATCH}"
    drain.transport.refuse = lambda message: (
        UndeliverableError("too large") if message.topic != last else None
    )
    drain.run_to_the_end()
    assert drain.transport.topics() == [last]
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
    with Drain(rooms, Flaky(rooms.database, agent_id="cell-7")) as drain:
        wait_until(lambda: rooms.outbox.depth() == 0, "the mark")
    assert set(drain.transport.topics()) == {"t/1"}


def test_a_refused_message_rests_and_is_tried_again(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "FIRST_REST_S", 0.02)
    commit(rooms, 1)
    drain = Drain(rooms)
    drain.transport.acknowledges = False
    with drain:
        wait_until(drain.transport.topics, "the first try")
        drain.transport.acknowledges = True
        drain.transport.refuse_all()
        wait_until(lambda: rooms.outbox.depth() == 0, "the mark")
    assert drain.transport.topics() == ["t/1", "t/1"]
    assert drain.counters.get("messages_put_off") == 1
    assert not rooms.rows("event")


def test_refused_messages_beyond_the_bound_are_given_up_with_an_event(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "FIRST_REST_S", 600.0)
    commit(rooms, 1, 2, 3)
    drain = Drain(rooms)
    drain.drain._resting = refusals.RefusalBackoff(most=1)
    drain.transport.acknowledges = False
    with drain:
        wait_until(lambda: len(drain.transport.topics()) == 3, "the three")
        drain.transport.refuse_all()
        wait_until(lambda: rooms.outbox.depth() == 1, "the two that are given up")
    assert drain.counters.get("messages_undeliverable") == 2
    assert {event["kind"] for event in rooms.rows("event")} == {"undeliverable"}
    assert "t/2" in rooms.rows("event")[0]["message"]


def test_each_refusal_doubles_the_rest() -> None:
    now = [0.0]
    one = refusals.RefusalBackoff(clock=lambda: now[0])
    for length_s in (1.0, 2.0, 4.0):
        assert one.note(7)
        now[0] += length_s - 0.5
        assert 7 in one.numbers
        now[0] += 0.5
        assert 7 not in one.numbers
    one.forget(7)
    assert not one.knows(7)
