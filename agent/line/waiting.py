"""The waiting room: deliveries between the broker's callback and the decoder."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from agent.counters import Counters
from agent.frame import Camera, Delivery, DeliveryKind


class Overload(StrEnum):
    """What happens to frames of a camera that come faster than they can be judged."""

    WAIT = "wait"
    """They wait; beyond the window of unacknowledged messages the broker holds them."""
    LATEST = "latest"
    """Only the newest waits; each one it replaces is recorded as skipped."""


class WaitingRoom:
    """Bounded, in order of arrival. ``admit`` never blocks: it runs in the client's network thread."""

    def __init__(
        self,
        capacity: int,
        overload: Callable[[Camera], Overload],
        on_superseded: Callable[[Delivery], None],
        counters: Counters,
    ) -> None:
        self._capacity = capacity
        self._overload = overload
        self._on_superseded = on_superseded
        self._counters = counters
        self._waiting: deque[Delivery] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def admit(self, delivery: Delivery) -> None:
        """Let a delivery wait.

        A guaranteed one is always admitted: the window of unacknowledged messages bounds how many
        there are, and one left out would hold back every acknowledgement behind it. Others are
        refused and counted where the room is full. Nothing is admitted after :meth:`close`; what
        comes then stays unacknowledged, and the broker delivers it again.
        """
        superseded = None
        with self._changed:
            if self._closed:
                self._counters.add("deliveries_after_close")
                return
            latest_only = (
                delivery.kind is DeliveryKind.FRAME and self._overload(delivery.camera) is Overload.LATEST
            )
            if latest_only:
                superseded = self._take_frame_of(delivery.camera)
            full = len(self._waiting) >= self._capacity
            if superseded is None and full and not delivery.guaranteed:
                self._counters.add("deliveries_refused")
                return
            self._waiting.append(delivery)
            self._changed.notify_all()
        if superseded is not None:
            self._on_superseded(superseded)

    def take(self, timeout_s: float) -> Delivery | None:
        """The one that has waited longest; None after ``timeout_s`` or once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def take_job_of(self, camera: Camera, timeout_s: float) -> Delivery | None:
        """The first waiting job of ``camera``, out of turn; None where none comes in time.

        After a restart the frames that the broker held come before the retained job that they
        belong to.
        """

        def find() -> Delivery | None:
            return next((d for d in self._waiting if d.kind is DeliveryKind.JOB and d.camera == camera), None)

        with self._changed:
            self._changed.wait_for(lambda: find() is not None or self._closed, timeout_s)
            found = find()
            if found is not None:
                self._waiting.remove(found)
            return found

    def put_back(self, delivery: Delivery) -> None:
        """Return one that was taken and could not be dealt with yet: it is the next to be taken."""
        with self._changed:
            self._waiting.appendleft(delivery)
            self._changed.notify_all()

    def close(self) -> None:
        """Admit nothing more. What waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the room admits nothing more."""
        with self._changed:
            return self._closed

    def _take_frame_of(self, camera: Camera) -> Delivery | None:
        for waiting in self._waiting:
            if waiting.kind is DeliveryKind.FRAME and waiting.camera == camera:
                self._waiting.remove(waiting)
                return waiting
        return None
