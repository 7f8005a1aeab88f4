"""EventLog: nothing blocks, nothing grows, nothing is lost uncounted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.event_log import CAPACITY, MOST_CAMERAS, SUMMARY_EVERY_S
from agent.telemetry import Counters
from tests.support.factory import Rooms
from tests.support.loopback import CAMERA, LoopbackTransport
from tests.support.parts import AwayHistory, mqtt_event_log


class Bench:
    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.history = AwayHistory(rooms.database, agent_id="cell-7", agent_version="1")
        self.counters = Counters()
        self.now = 1000.0
        self.transport = LoopbackTransport()
        self.transport.start(lambda delivery: None)
        self.log = mqtt_event_log(self.history, self.transport, self.counters, monotonic=lambda: self.now)

    def report(self, kind: str, message: str = "", alert: Camera | None = None) -> None:
        camera = None if alert is None else str(alert)
        self.log.report(Event(kind, message, datetime.now(UTC), camera=camera), alert=alert)

    def events(self) -> list[tuple[str, str | None]]:
        return [(event["kind"], event["camera"]) for event in self.rooms.rows("event")]


def test_an_event_with_an_alert_is_published_too(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.report("stage-restarted", "the record stage died", CAMERA)
    bench.report("pipeline-failed", "it hangs")
    bench.log.flush()
    assert bench.events() == [("stage-restarted", str(CAMERA)), ("pipeline-failed", None)]
    assert [one.message.destination for one in rooms.outbox.pending(9)] == ["plant/line-1/top/alert"]
    assert len(bench.log) == 0


def test_what_storage_refuses_is_stored_later_in_its_order(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.history.away = True
    bench.report("first", "1")
    bench.report("second", "2")
    for _ in range(3):
        with pytest.raises(StorageError):
            bench.log.flush()
    bench.history.away = False
    bench.log.flush()
    assert [kind for kind, _camera in bench.events()] == ["first", "second"]


@pytest.mark.slow
def test_too_many_events_are_counted_and_not_kept(rooms: Rooms) -> None:
    bench = Bench(rooms)
    for number in range(CAPACITY + 10):
        bench.report("k", str(number))
    bench.log.flush()
    assert len(bench.events()) == CAPACITY
    assert bench.counters.get("events_lost") == 10


def test_frames_without_a_row_are_summed_up_by_camera_and_not_too_often(rooms: Rooms) -> None:
    bench = Bench(rooms)
    for _ in range(70):
        bench.log.report_unrecorded(CAMERA, "they came too fast")
    bench.log.flush()
    for _ in range(5):
        bench.log.report_unrecorded(CAMERA, "they came too fast")
        bench.log.flush()
    assert len(bench.events()) == 1
    bench.now += SUMMARY_EVERY_S
    bench.log.flush()
    rows = rooms.rows("event")
    assert [row["details"] for row in rows] == ['{"frames": 70}', '{"frames": 5}']
    assert rows[0]["message"] == f"70 frames of {CAMERA} have no row of their own: they came too fast"
    assert bench.counters.get("frames_unrecorded") == 75
    bench.log.report_unrecorded(CAMERA, "they came too fast")
    bench.log.flush(everything=True)
    assert len(bench.events()) == 3


def test_messages_that_are_not_frames_are_reported_as_such(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.log.report_unrecorded(CAMERA, "the pipeline was full", frame=False)
    bench.log.flush()
    assert bench.events() == [("messages-unrecorded", str(CAMERA))]
    assert bench.counters.get("frames_unrecorded") == 0


def test_cameras_that_somebody_invents_do_not_fill_the_memory(rooms: Rooms) -> None:
    bench = Bench(rooms)
    for number in range(MOST_CAMERAS * 4):
        bench.log.report_unrecorded(Camera("plant", "line", str(number)), "full")
    assert len(bench.log) <= MOST_CAMERAS + 1
    bench.log.flush()
    assert len(bench.events()) == MOST_CAMERAS + 1
    assert bench.counters.get("frames_unrecorded") == MOST_CAMERAS * 4


def test_while_storage_refuses_alerts_go_out_at_once_and_only_once(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.history.away = True
    bench.report("disk-full", "the disk is full", CAMERA)
    for _ in range(3):
        with pytest.raises(StorageError):
            bench.log.flush()
    assert bench.transport.topics() == ["plant/line-1/top/alert"]
    bench.history.away = False
    bench.log.flush()
    assert bench.events() == [("disk-full", str(CAMERA))]
    assert rooms.outbox.depth() == 0, "it has gone out, and goes out no second time"


def test_an_alert_that_nobody_acknowledged_goes_out_with_its_event(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.history.away = True
    bench.transport.acknowledges = False
    bench.report("disk-full", "the disk is full", CAMERA)
    with pytest.raises(StorageError):
        bench.log.flush()
    bench.transport.lose_connection()
    bench.history.away = False
    bench.log.flush()
    assert [one.message.destination for one in rooms.outbox.pending(9)] == ["plant/line-1/top/alert"]


def test_what_is_stored_at_once_is_refused_to_its_caller(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.history.away = True
    with pytest.raises(StorageError):
        bench.log.store(Event("bad-sku", "no JSON", datetime.now(UTC)))
    assert len(bench.log) == 0, "whoever acknowledges by it reports it again"
    bench.history.away = False
    bench.log.store(Event("bad-sku", "no JSON", datetime.now(UTC)))
    assert bench.events() == [("bad-sku", None)]


@pytest.mark.parametrize("refusals", [1, 2, 60])
def test_a_database_that_refuses_for_a_while_loses_no_alert(rooms: Rooms, refusals: int) -> None:
    """Once, twice, or every second for a minute: drift, burst, gap, timeout and disk are all stored."""
    bench, kinds = Bench(rooms), ("drift", "burst", "gap", "silent", "disk-full")
    bench.transport.stop()  # no way out meanwhile but the outbox
    bench.history.away = True
    for kind in kinds:
        bench.report(kind, kind, CAMERA)
    for _ in range(refusals):
        with pytest.raises(StorageError):
            bench.log.flush()
    bench.history.away = False
    bench.log.flush()
    assert [kind for kind, _camera in bench.events()] == list(kinds)
    assert rooms.outbox.depth() == len(kinds)
    assert bench.counters.get("events_lost") == 0
