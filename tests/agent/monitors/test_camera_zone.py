"""CameraZoneMonitor and RefusedTopics: said once, with the remedy, and bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.monitors.camera_zone import CameraZoneMonitor
from agent.monitors.refused_topics import MOST_TOPICS, RefusedTopics
from agent.telemetry import Counters
from tests.support.parts import MemoryHistory

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
CAMERA = Camera("factory", "line 1", "top")


class Log:
    """An event log over a history in memory."""

    def __init__(self) -> None:
        self.history = MemoryHistory()
        self.events = EventLog(self.history, (), Counters())

    def stored(self) -> list[Event]:
        self.events.flush(everything=True)
        return self.history.events


def inspection(late_s: float | None, number: int = 0, camera: Camera = CAMERA) -> Inspection:
    """A frame whose camera says that it was captured ``late_s`` before it came."""
    received = NOW + timedelta(seconds=number)
    captured = None if late_s is None else received - timedelta(seconds=late_s)
    identity = FrameIdentity(camera, f"f-{number}", captured_at=captured)
    return Inspection(f"i-{number}", identity, "A", Verdict.PASS, "", received, received)


@pytest.mark.parametrize(
    ("late_s", "words"),
    [
        (-9 * 3600 + 0.4, "9 h ahead of the time of receipt"),
        (3600 + 2, "1 h behind the time of receipt"),
        (-5.75 * 3600, "5.75 h ahead"),
        (-900, "0.25 h ahead"),
    ],
)
def test_whole_quarter_hours_off_are_told_once(late_s: float, words: str) -> None:
    log = Log()
    monitor = CameraZoneMonitor(log.events)
    for number in range(20):
        monitor.observe(inspection(late_s, number), None)
    (event,) = log.stored()
    assert (event.kind, event.severity, event.camera) == ("camera-zone", "warning", "factory/line 1/top")
    assert words in event.message
    assert "cameras.line 1/top.timezone" in event.message


@pytest.mark.parametrize(
    "lates",
    [
        [0.1] * 9,
        [None] * 9,
        [400.0] * 9,  # ten minutes late, however often
        [3600.0, 3600.0, 2.0] * 5,  # now and then an hour late
        [20 * 3600.0] * 9,  # no zone is so far away
        [3600.0, 2700.0, 1800.0, 900.0, 0.0],  # a backlog that is worked off
    ],
)
def test_cameras_that_are_only_late_are_not_told(lates: list[float | None]) -> None:
    log = Log()
    monitor = CameraZoneMonitor(log.events)
    for number, late_s in enumerate(lates):
        monitor.observe(inspection(late_s, number), None)
    assert log.stored() == []


def test_each_refused_topic_is_one_event_and_the_rest_a_sum() -> None:
    log = Log()
    refused = RefusedTopics(log.events)
    for _ in range(3):
        for number in range(MOST_TOPICS + 5):
            refused.report(f"factory/{number}\x07/b/frame", "the line has U+0007; rename it")
    events = log.stored()
    told = [event for event in events if event.kind == "bad-topic"]
    assert len(told) == MOST_TOPICS
    assert told[0].message == (
        'messages on the topic "factory/0\\x07/b/frame" are not judged: the line has U+0007; rename it'
    )
    (rest,) = [event for event in events if event.kind != "bad-topic"]
    assert rest.details == {"messages": 15}
