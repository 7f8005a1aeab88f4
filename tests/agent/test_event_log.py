"""What the line tells beside its frames: nothing blocks, nothing grows, nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.topics import Topics
from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.event_log import MOST_CAMERAS, MOST_EVENTS, SUMMARY_EVERY_S, EventLog
from agent.ports import OutboxMessage
from agent.telemetry import Counters
from storage import SqlHistory
from tests.support.factory import Rooms
from tests.support.loopback import CAMERA


class AwayHistory(SqlHistory):
    away = False

    def announce(self, event: Event, messages: Sequence[OutboxMessage]) -> None:
        if self.away:
            raise StorageError("the database is away")
        super().announce(event, messages)


class Desk:
    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.history = AwayHistory(rooms.database, agent_id="cell-7", agent_version="1")
        self.counters = Counters()
        self.now = 1000.0
        self.notices = EventLog(
            self.history,
            MqttMessageComposer(Topics(site="plant", agent="cell-7"), "1"),
            self.counters,
            monotonic=lambda: self.now,
        )

    def events(self) -> list[tuple[str, str | None]]:
        return [(event["kind"], event["camera"]) for event in self.rooms.rows("event")]


def test_an_event_about_a_camera_is_alarmed_too(rooms: Rooms) -> None:
    desk = Desk(rooms)
    desk.notices.tell("stage-restarted", "the record stage died", CAMERA)
    desk.notices.tell("line-failed", "it hangs")
    desk.notices.flush()
    assert desk.events() == [("stage-restarted", str(CAMERA)), ("line-failed", None)]
    assert [one.message.topic for one in rooms.outbox.pending(9)] == ["plant/line-1/top/alert"]
    assert len(desk.notices) == 0


def test_what_storage_refuses_is_told_later_in_its_order(rooms: Rooms) -> None:
    desk = Desk(rooms)
    desk.history.away = True
    desk.notices.tell("first", "1")
    desk.notices.tell("second", "2")
    for _ in range(3):
        with pytest.raises(StorageError):
            desk.notices.flush()
    desk.history.away = False
    desk.notices.flush()
    assert [kind for kind, _camera in desk.events()] == ["first", "second"]


def test_too_many_events_are_counted_and_not_kept(rooms: Rooms) -> None:
    desk = Desk(rooms)
    for number in range(MOST_EVENTS + 10):
        desk.notices.tell("k", str(number))
    desk.notices.flush()
    assert len(desk.events()) == MOST_EVENTS
    assert desk.counters.get("events_lost") == 10


def test_frames_without_a_row_are_summed_up_by_camera_and_not_too_often(rooms: Rooms) -> None:
    desk = Desk(rooms)
    for _ in range(70):
        desk.notices.lost(CAMERA, "they came too fast")
    desk.notices.flush()
    for _ in range(5):
        desk.notices.lost(CAMERA, "they came too fast")
        desk.notices.flush()
    assert len(desk.events()) == 1
    desk.now += SUMMARY_EVERY_S
    desk.notices.flush()
    rows = rooms.rows("event")
    assert [row["details"] for row in rows] == ['{"frames": 70}', '{"frames": 5}']
    assert rows[0]["message"] == f"70 frames of {CAMERA} have no row of their own: they came too fast"
    assert desk.counters.get("frames_unrecorded") == 75
    desk.notices.lost(CAMERA, "they came too fast")
    desk.notices.flush(everything=True)
    assert len(desk.events()) == 3


def test_messages_that_are_no_frames_are_told_of_as_such(rooms: Rooms) -> None:
    desk = Desk(rooms)
    desk.notices.lost(CAMERA, "the line was full", frame=False)
    desk.notices.flush()
    assert desk.events() == [("messages-unrecorded", str(CAMERA))]
    assert desk.counters.get("frames_unrecorded") == 0


def test_cameras_that_somebody_invents_do_not_fill_the_memory(rooms: Rooms) -> None:
    desk = Desk(rooms)
    for number in range(MOST_CAMERAS * 4):
        desk.notices.lost(Camera("plant", "line", str(number)), "full")
    assert len(desk.notices) <= MOST_CAMERAS + 1
    desk.notices.flush()
    assert len(desk.events()) == MOST_CAMERAS + 1
    assert desk.counters.get("frames_unrecorded") == MOST_CAMERAS * 4
