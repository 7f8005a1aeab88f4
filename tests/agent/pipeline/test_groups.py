"""Frames that wait share a transaction and a wait for the disk; one on an idle line waits for no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from agent.ports import Entry, MediaFile
from storage import MediaFolder, SqlHistory
from tests.support.factory import PATIENCE_S, Rooms, wait_until
from tests.support.plant import Plant, frame

Build = Callable[..., Plant]


class HeldHistory(SqlHistory):
    """Counts the frames of each transaction, and waits before it while a test holds it."""

    def __init__(self, rooms: Rooms) -> None:
        super().__init__(rooms.database, agent_id="cell-7", agent_version="1")
        self.open = threading.Event()
        self.open.set()
        self.frames: list[int] = []

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        self.frames.append(len(entries))
        assert self.open.wait(PATIENCE_S)
        return super().record(entries)


class CountingMedia(MediaFolder):
    """Counts the files that are stored together."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.files: list[int] = []

    def put_all(self, files: Sequence[MediaFile]) -> list[str]:
        self.files.append(len(files))
        return super().put_all(files)


def test_frames_that_wait_share_a_transaction(build: Build, rooms: Rooms) -> None:
    history, media = HeldHistory(rooms), CountingMedia(rooms.folder / "media")
    plant = build(history=history, media=media)
    first = frame(0)
    history.open.clear()
    plant.deliver(first)
    wait_until(lambda: history.frames == [1], "the first frame to be recorded")
    others = [frame(seed) for seed in range(1, 13)]
    plant.deliver(*others)
    wait_until(lambda: plant.pipeline.state().inspected == 12, "the others to be inspected")
    history.open.set()
    plant.acknowledged(first, *others)
    assert history.frames == [1, 12]
    assert len(media.files) == 2
    assert len(plant.rows()) == 13


def test_each_frame_of_an_idle_line_is_recorded_by_itself(build: Build, rooms: Rooms) -> None:
    history = HeldHistory(rooms)
    plant = build(history=history)
    for seed in range(3):
        plant.inspected(frame(seed))
    assert history.frames == [1, 1, 1]
