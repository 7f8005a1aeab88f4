"""SqlHistory.recent_sequences: the numbers that gap detection continues from after a start."""

from __future__ import annotations

from datetime import timedelta

from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.ports import Entry
from storage import SqlHistory
from tests.storage.examples import CAMERA, NOON, identity, inspected

OTHER = Camera("factory", "line-1", "cam-b")


def recorded(history: SqlHistory, camera: Camera, *numbers: int | None, minute: float = 0.0) -> None:
    """One frame each second from a minute after noon on."""
    entries = []
    for second, number in enumerate(numbers):
        frame_id = f"f-{minute}-{second}"
        whose = identity(frame_id, camera, sequence=number)
        entries.append(
            Entry(inspected(frame_id, camera=camera, identity=whose, minutes=minute + second / 60))
        )
    history.record(entries)


def test_the_newest_numbers_of_a_camera_the_oldest_first(history: SqlHistory) -> None:
    recorded(history, CAMERA, 5, 6, None, 8)
    recorded(history, OTHER, 90, 91)
    assert history.recent_sequences(CAMERA, 64) == [5, 6, 8]
    assert history.recent_sequences(CAMERA, 1) == [8]
    assert history.recent_sequences(Camera("factory", "line-1", "new"), 64) == []


def test_what_was_there_when_a_gap_was_reported_is_left_out_but_for_the_newest(history: SqlHistory) -> None:
    recorded(history, CAMERA, 5, 9)
    history.record_event(Event("gap", "reported", NOON + timedelta(minutes=1), camera=str(CAMERA)))
    history.record_event(Event("gap", "another's", NOON + timedelta(minutes=9), camera=str(OTHER)))
    history.record_event(Event("silent", "another kind", NOON + timedelta(minutes=9), camera=str(CAMERA)))
    assert history.recent_sequences(CAMERA, 64) == [9]
    recorded(history, CAMERA, 10, 12, minute=2.0)
    assert history.recent_sequences(CAMERA, 64) == [9, 10, 12]
