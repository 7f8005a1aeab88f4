"""IngressQueue: deliveries between network thread and decode stage; Bounds: memory of the pipeline."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from agent.domain.camera_rules import CameraRulebook, Overload
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.event_log import EventLog
from agent.pipeline.superseded import SupersededFrames
from agent.telemetry import Counters

_MIB = 1024 * 1024

REFUSED = (
    "they came without a guarantee of delivery (QoS 0) while the pipeline was full; publish with QoS 1, or "
    "set `overload: latest`"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most bytes that the pipeline holds in memory, whatever comes.

    Bounds by count hold beside these. Messages with a guarantee are bounded by the broker's window instead.
    """

    waiting_bytes: int = 256 * _MIB
    """Payloads that wait to be decoded and that no broker would deliver again."""
    queue_bytes: int = 512 * _MIB
    """Decoded images in one queue, at three bytes a pixel, whatever the camera sent."""
    awaiting: int = 256
    """Frames that wait until their recipe is prepared; their images are bounded as one queue."""
    superseded: int = 4096
    """Frames that newer ones replaced and that wait for their rows."""
    superseded_bytes: int = 64 * _MIB
    """Payloads of those frames, for as long as they are needed to identify the frames."""


class IngressQueue:
    """Bounded, in order of arrival. ``admit`` never blocks: it runs in the client's network thread."""

    def __init__(
        self,
        capacity: int,
        rules: CameraRulebook,
        superseded: SupersededFrames,
        events: EventLog,
        counters: Counters,
        ending: threading.Event,
        *,
        most_bytes: int = Bounds().waiting_bytes,
    ) -> None:
        """``ending``: once it is set, the queue admits nothing more."""
        self._capacity = capacity
        self._rules = rules
        self._superseded = superseded
        self._events = events
        self._counters = counters
        self._ending = ending
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: deque[Delivery] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    @property
    def oldest(self) -> float | None:
        """When the longest waiting delivery came, on the monotonic clock; None if none waits."""
        with self._changed:
            return min((one.arrived for one in self._waiting), default=None)

    @property
    def bytes_held(self) -> int:
        """Bytes of the waiting payloads."""
        with self._changed:
            return self._bytes

    def admit(self, delivery: Delivery) -> None:
        """Put a delivery into the queue.

        A guaranteed delivery is always admitted. The window of unacknowledged messages bounds their
        number, and leaving one out would hold back every acknowledgement behind it. Each connection has a
        window of its own, so deliveries of lost connections make room first. Other deliveries are refused
        and counted if the queue is full. Nothing is admitted once the end has begun; such deliveries stay
        unacknowledged, and the broker sends them again.
        """
        replaced, place, refused = None, None, False
        with self._changed:
            if self.closed:
                self._counters.add("deliveries_after_close")
                return
            latest_only = (
                delivery.kind is DeliveryKind.FRAME
                and self._rules.of(delivery.camera).overload is Overload.LATEST
            )
            if latest_only:
                replaced, place = self._take_frame_of(delivery.camera)
            if delivery.guaranteed and replaced is None:
                self._drop_stale()
            refused = replaced is None and not delivery.guaranteed and self._full(len(delivery.payload))
            if not refused:
                self._waiting.insert(len(self._waiting) if place is None else place, delivery)
                self._bytes += len(delivery.payload)
                self._changed.notify_all()
        if refused:
            self._counters.add("deliveries_refused")
            self._events.report_unrecorded(
                delivery.camera, REFUSED, frame=delivery.kind is DeliveryKind.FRAME
            )
        if replaced is not None:
            self._superseded.add_delivery(replaced)

    def take(self, timeout_s: float) -> Delivery | None:
        """The delivery that has waited longest; None after ``timeout_s``, or once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            if not self._waiting:
                return None
            taken = self._waiting.popleft()
            self._bytes -= len(taken.payload)
            return taken

    def upcoming(self) -> Delivery | None:
        """The frame that is taken next; None if none waits, or it may turn out to need no decoding."""
        with self._changed:
            first = self._waiting[0] if self._waiting else None
        if first is None or first.kind is not DeliveryKind.FRAME or first.redelivered or first.retained:
            return None
        # Of some cameras, a newer frame may still replace it.
        return None if self._rules.of(first.camera).overload is Overload.LATEST else first

    def take_job_of(self, camera: Camera, timeout_s: float) -> Delivery | None:
        """The first waiting job of ``camera``, ahead of its turn; None if none comes in time.

        After a restart, frames that the broker held come before the retained job that they belong to.
        """

        def find() -> Delivery | None:
            return next((d for d in self._waiting if d.kind is DeliveryKind.JOB and d.camera == camera), None)

        with self._changed:
            self._changed.wait_for(lambda: find() is not None or self._closed, timeout_s)
            found = find()
            if found is not None:
                self._remove(found)
            return found

    def put_back(self, delivery: Delivery) -> None:
        """Return a delivery that could not be handled yet: it is the next to be taken."""
        with self._changed:
            self._waiting.appendleft(delivery)
            self._bytes += len(delivery.payload)
            self._changed.notify_all()

    def close(self) -> None:
        """Admit nothing more. Waiting deliveries can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the queue admits nothing more."""
        return self._closed or self._ending.is_set()

    def _take_frame_of(self, camera: Camera) -> tuple[Delivery | None, int | None]:
        """Take out the waiting frame of ``camera``; also its successor's place, behind the camera's jobs.

        At the end of the queue the successor would wait anew: beside a backlog, a fast camera would never be
        judged.
        """
        found, place = None, None
        for index, waiting in enumerate(self._waiting):
            if waiting.camera != camera:
                continue
            if found is None and waiting.kind is DeliveryKind.FRAME:
                found, place = waiting, index
            elif found is not None and waiting.kind is DeliveryKind.JOB:
                place = index  # counted without the frame that is taken out: just behind the job
        if found is not None:
            self._remove(found)
        return found, place

    def _remove(self, delivery: Delivery) -> None:
        self._waiting.remove(delivery)
        self._bytes -= len(delivery.payload)

    def _full(self, size: int) -> bool:
        if not self._waiting:
            return False
        return len(self._waiting) >= self._capacity or self._bytes + size > self._most_bytes

    def _drop_stale(self) -> None:
        """Drop a delivery that the broker sends again from a full queue: one for each that is admitted."""
        if not self._full(0):
            return
        stale = next((waiting for waiting in self._waiting if waiting.stale()), None)
        if stale is not None:
            self._remove(stale)
            self._counters.add("deliveries_stale_dropped")
