"""The ready queue: decoded frames between the decoder and the inspector."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from agent.frame import Camera
from agent.line.waiting import Overload
from agent.line.work import Work


class ReadyQueue:
    """Bounded, in order. Of a camera that wants only its newest frame at most one waits here."""

    def __init__(
        self,
        capacity: int,
        overload: Callable[[Camera], Overload],
        on_superseded: Callable[[Work], None],
    ) -> None:
        self._capacity = capacity
        self._overload = overload
        self._on_superseded = on_superseded
        self._works: deque[Work] = deque()
        self._changed = threading.Condition()

    def put(self, work: Work, timeout: float) -> None:
        """Let a work wait, in place of an older one of its camera where only the newest counts.

        Raises:
            queue.Full: there was no room within ``timeout`` seconds.
        """
        superseded = None
        with self._changed:
            camera = work.identity.camera
            if work.judgement is None and self._overload(camera) is Overload.LATEST:
                superseded = next(
                    (w for w in self._works if w.judgement is None and w.identity.camera == camera), None
                )
            if superseded is not None:
                self._works.remove(superseded)
            elif not self._changed.wait_for(lambda: len(self._works) < self._capacity, timeout):
                raise queue.Full
            self._works.append(work)
            self._changed.notify_all()
        if superseded is not None:
            self._on_superseded(superseded)

    def get(self, timeout: float) -> Work:
        """The one that has waited longest. Raises queue.Empty after ``timeout`` seconds; 0 asks once."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._works), timeout):
                raise queue.Empty
            work = self._works.popleft()
            self._changed.notify_all()
            return work
