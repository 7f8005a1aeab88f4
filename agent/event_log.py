"""Notices: what the line has to tell beside its frames, written once storage answers."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.ports import History, MessageComposer, OutboxMessage
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

MOST_EVENTS = 64
MOST_CAMERAS = 256
SUMMARY_EVERY_S = 10.0
"""Frames without a row of their own are told of together, not more often than this."""


class EventLog:
    """Events with their alerts, and counts of frames that got no row of their own. Telling never blocks."""

    def __init__(
        self,
        history: History,
        announcer: MessageComposer,
        counters: Counters,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._announcer = announcer
        self._counters = counters
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._events: deque[tuple[Event, Camera | None]] = deque()
        self._lost: Counter[tuple[Camera | None, str, str]] = Counter()
        self._next_summary = 0.0

    def tell(self, kind: str, message: str, camera: Camera | None = None, severity: str = "error") -> None:
        """An event row; where a camera is concerned, an alert on its topic too."""
        name = None if camera is None else str(camera)
        event = Event(kind, message, self._clock(), camera=name, severity=severity)
        with self._lock:
            if len(self._events) >= MOST_EVENTS:
                self._events.popleft()
                self._counters.add("events_lost")
            self._events.append((event, camera))

    def lost(self, camera: Camera, why: str, *, frame: bool = True) -> None:
        """A frame, or another message, of ``camera`` gets no row of its own; a row that sums up follows."""
        if frame:
            self._counters.add("frames_unrecorded")
        what = "frames" if frame else "messages"
        with self._lock:
            # Anybody may invent cameras.
            known = len(self._lost) < MOST_CAMERAS or (camera, what, why) in self._lost
            self._lost[camera if known else None, what, why] += 1

    def flush(self, *, everything: bool = False) -> None:
        """Write what there is to tell. Raises StorageError; what was not written is kept."""
        self._sum_up(everything)
        while True:
            with self._lock:
                if not self._events:
                    return
                event, camera = self._events.popleft()
            try:
                self._write(event, camera)
            except StorageError:
                with self._lock:
                    self._events.appendleft((event, camera))
                raise

    def __len__(self) -> int:
        with self._lock:
            return len(self._events) + len(self._lost)

    def _write(self, event: Event, camera: Camera | None) -> None:
        alerts: tuple[OutboxMessage, ...] = ()
        if camera is not None:
            alerts = (
                self._announcer.alert(camera, event.kind, event.message, event.at, severity=event.severity),
            )
        self._history.announce(event, alerts)

    def _sum_up(self, everything: bool) -> None:
        now = self._monotonic()
        with self._lock:
            if not self._lost or (now < self._next_summary and not everything):
                return
            lost, self._lost = self._lost, Counter()
            self._next_summary = now + SUMMARY_EVERY_S
        for (camera, what, why), count in lost.items():
            whose = str(camera) if camera is not None else "further cameras"
            message = f"{count} {what} of {whose} have no row of their own: {why}"
            logger.warning("%s", message, extra=about(camera))
            self._keep(
                Event(
                    f"{what}-unrecorded",
                    message,
                    self._clock(),
                    camera=None if camera is None else whose,
                    details={what: count},
                    severity="warning",
                )
            )

    def _keep(self, event: Event) -> None:
        # Not bounded by MOST_EVENTS: at most one for each camera counted, and written at once.
        with self._lock:
            self._events.append((event, None))
