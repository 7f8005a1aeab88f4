"""The ready queue: works between two stages."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from agent.domain.frame import Camera
from agent.pipeline.ingress_queue import Bounds, Overload
from agent.pipeline.work_item import WorkItem


class StageQueue:
    """Bounded by count and by bytes, in order. Of a camera that wants only its newest frame at most one
    waits here."""

    def __init__(
        self,
        capacity: int,
        overload: Callable[[Camera], Overload] = lambda camera: Overload.WAIT,
        on_superseded: Callable[[WorkItem], None] = lambda work: None,
        *,
        most_bytes: int = Bounds().queue_bytes,
    ) -> None:
        self._capacity = capacity
        self._overload = overload
        self._on_superseded = on_superseded
        self._most_bytes = most_bytes
        self._works: deque[WorkItem] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._works)

    @property
    def bytes_held(self) -> int:
        """Of the images in it."""
        with self._changed:
            return self._bytes

    def put(self, work: WorkItem, timeout: float) -> None:
        """Let a work wait, in place of an older one of its camera where only the newest counts.

        Raises:
            queue.Full: there was no room within ``timeout`` seconds.
        """
        superseded = None
        size = work.size
        with self._changed:
            camera = work.identity.camera
            if work.judgement is None and self._overload(camera) is Overload.LATEST:
                superseded = next(
                    (w for w in self._works if w.judgement is None and w.identity.camera == camera), None
                )
            if superseded is not None:
                # In its place: at the end, a fast camera would be replaced before its turn ever came.
                self._works[self._works.index(superseded)] = work
                self._bytes -= superseded.size
            elif not self._changed.wait_for(lambda: self._room_for(size), timeout):
                raise queue.Full
            else:
                self._works.append(work)
            self._bytes += size
            self._changed.notify_all()
        if superseded is not None:
            self._on_superseded(superseded)

    def get(self, timeout: float) -> WorkItem:
        """The one that has waited longest. Raises queue.Empty after ``timeout`` seconds; 0 asks once."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._works), timeout):
                raise queue.Empty
            work = self._works.popleft()
            self._bytes -= work.size
            self._changed.notify_all()
            return work

    def _room_for(self, size: int) -> bool:
        # One always fits, however large: else its camera would wait for ever.
        return not self._works or (
            len(self._works) < self._capacity and self._bytes + size <= self._most_bytes
        )
