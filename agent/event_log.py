"""EventLog: the one way for events and their alerts into the history and out to people."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.domain.errors import StorageError, TransportError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.ports.history import History
from agent.ports.sinks import OutboxMessage, PublishTicket, Sink
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

CAPACITY = 4096
"""How many events may wait for storage. Beyond that, the oldest is dropped, counted and reported."""
MOST_CAMERAS = 256
SUMMARY_EVERY_S = 10.0
"""Shortest pause between two events that sum up frames without a row."""

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(slots=True, eq=False)
class _Entry:
    event: Event
    alerts: tuple[OutboxMessage, ...]
    tickets: list[PublishTicket | None] = field(default_factory=list)
    """One for each alert that went out directly while storage refused; empty if none did."""

    def unsent(self) -> tuple[OutboxMessage, ...]:
        """Alerts that no receiver has acknowledged: they go into the outbox with the event."""
        if not self.tickets:
            return self.alerts
        pairs = zip(self.alerts, self.tickets, strict=True)
        return tuple(alert for alert, ticket in pairs if ticket is None or not ticket.wait(0.0))


class EventLog:
    """Stores events, each in one transaction with its alerts on every sink.

    One policy holds for all. :meth:`report` logs the sentence at once, never blocks and never raises. The
    recording stage calls :meth:`flush` between batches, which stores the event and retries until it is
    stored. At most :data:`CAPACITY` events wait; if more come, the oldest is dropped and counted as
    ``events_lost``. While storage refuses, alerts do not wait with their events. They go straight to the
    sinks of ``direct``, and through the outbox only if no receiver acknowledged them.

    Args:
        history: stores the events.
        sinks: compose the alerts.
        direct: the sinks whose ``publish`` does not block and may be called from any thread.
    """

    def __init__(
        self,
        history: History,
        sinks: Sequence[Sink],
        counters: Counters,
        *,
        direct: Sequence[Sink] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._sinks = tuple(sinks)
        self._direct = {sink.name: sink for sink in direct}
        self._counters = counters
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._unrecorded: Counter[tuple[Camera | None, str, str]] = Counter()
        self._next_summary = 0.0
        self._overflowed = False

    def report(self, event: Event, *, alert: Camera | None = None) -> None:
        """Log an event and queue it for storage. Never blocks, never raises; any thread may call.

        Args:
            event: what happened.
            alert: the camera on whose topic an alert goes out too; None: no alert (also in shadow mode).
        """
        fields = about(event.camera, sku=event.sku)
        logger.log(_LEVELS[event.severity], "%s", event.message, extra=fields)
        self._enqueue(event, alert)

    def report_unrecorded(self, camera: Camera | None, why: str, *, frame: bool = True) -> None:
        """Count a frame, or another message, of ``camera`` that gets no row; an event sums them up.

        None: of cameras that are not known, or too many.
        """
        if frame:
            self._counters.add("frames_unrecorded")
        what = "frames" if frame else "messages"
        with self._lock:
            # Anybody may publish under the name of a new camera, so their number is bounded.
            known = len(self._unrecorded) < MOST_CAMERAS or (camera, what, why) in self._unrecorded
            self._unrecorded[camera if known else None, what, why] += 1

    def store(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        """Store an event now. For callers that acknowledge a delivery once the event is stored.

        Raises:
            StorageError: nothing was stored. The delivery stays unacknowledged and is handled again.
        """
        fields = about(event.camera, sku=event.sku)
        self._history.record_event(event, messages)
        logger.log(_LEVELS[event.severity], "%s", event.message, extra=fields)

    def flush(self, *, everything: bool = False) -> None:
        """Store the waiting events in their order.

        Args:
            everything: sum up unrecorded frames now, however recent the last sum is.

        Raises:
            StorageError: events that were not stored still wait; call again. Their alerts went out directly.
        """
        self._sum_up(everything)
        with self._flushing:  # otherwise two threads could store one event twice
            while True:
                with self._lock:
                    if not self._waiting:
                        self._overflowed = False
                        return
                    entry = self._waiting[0]
                try:
                    self._history.record_event(entry.event, entry.unsent())
                except StorageError:
                    self._alert_directly()
                    raise
                with self._lock:
                    if self._waiting and self._waiting[0] is entry:  # otherwise it was dropped meanwhile
                        self._waiting.popleft()

    def alert_directly(self) -> None:
        """Publish the alerts of waiting events once each, because storage refuses. Never raises."""
        if not self._flushing.acquire(blocking=False):
            return  # another thread stores them, or alerts directly itself
        try:
            self._alert_directly()
        finally:
            self._flushing.release()

    def _alert_directly(self) -> None:
        with self._lock:
            entries = list(self._waiting)
        for entry in entries:
            if not entry.tickets:
                entry.tickets = [None] * len(entry.alerts)
            for index, alert in enumerate(entry.alerts):
                sink, ticket = self._direct.get(alert.sink), entry.tickets[index]
                if sink is None or (ticket is not None and not ticket.failed):
                    continue
                try:
                    entry.tickets[index] = sink.publish(alert)
                except TransportError as error:
                    logger.debug("an alert waits for its event: %s", error)
                    return

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting) + len(self._unrecorded)

    def _enqueue(self, event: Event, camera: Camera | None) -> None:
        alerts: tuple[OutboxMessage, ...] = ()
        if camera is not None:
            alerts = tuple(one for sink in self._sinks for one in sink.compose_alert(event, camera))
        with self._lock:
            self._waiting.append(_Entry(event, alerts))
            dropped = self._waiting.popleft() if len(self._waiting) > CAPACITY else None
            first, self._overflowed = not self._overflowed, self._overflowed or dropped is not None
        if dropped is not None:
            self._counters.add("events_lost")
            if first:
                logger.error(
                    "more than %d events wait for storage: the oldest are dropped, counted as events_lost",
                    CAPACITY,
                )

    def _sum_up(self, everything: bool) -> None:
        now = self._monotonic()
        with self._lock:
            if not self._unrecorded or (now < self._next_summary and not everything):
                return
            unrecorded, self._unrecorded = self._unrecorded, Counter()
            self._next_summary = now + SUMMARY_EVERY_S
        for (camera, what, why), count in unrecorded.items():
            whose = str(camera) if camera is not None else "further cameras"
            self.report(
                Event(
                    f"{what}-unrecorded",
                    f"{count} {what} of {whose} have no row of their own: {why}",
                    self._clock(),
                    camera=None if camera is None else whose,
                    details={what: count},
                    severity="warning",
                )
            )
