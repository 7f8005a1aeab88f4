"""RetentionTask: deletes what is older than its period every hour, if the date can be believed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.event_log import EventLog
from agent.monitors.clock import ClockGuard
from agent.ports import Pruned, Retention
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

FIRST_AFTER_S = 300.0
EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Keep:
    """How long images, events and messages are kept; None: for ever."""

    media: Mapping[str, timedelta | None]
    """Images, by verdict."""
    events: timedelta | None = None
    sent: timedelta | None = None
    """Messages that were sent."""


class RetentionTask:
    """Prunes on schedule if the date can be believed, and reports it."""

    def __init__(
        self,
        retention: Retention,
        events: EventLog,
        keep: Keep,
        counters: Counters,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        guard: ClockGuard | None = None,
    ) -> None:
        self._retention = retention
        self._events = events
        self._keep = keep
        self._counters = counters
        self._clock = clock
        self._guard = guard or ClockGuard(clock)
        self._doubted = False
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End a run that is under way after its present transaction."""
        self._stopped.set()

    def __call__(self) -> None:
        """One run. If the database refuses, that is counted and logged, and the next run continues there."""
        now = self._clock()
        try:
            if not self._doubts(now):
                self._prune(now)
        except StorageError as error:
            self._counters.add("retention_failed")
            logger.warning("retention: %s; it is tried again in an hour", error)

    def _doubts(self, now: datetime) -> bool:
        """Whether the date is doubted. A doubt is reported once."""
        reason = self._guard.doubt(self._retention.newest_before)
        before, self._doubted = self._doubted, reason is not None
        if reason is not None and not before:
            message = (
                f"{reason}: either production stood still or the date {now:%Y-%m-%d} is wrong. Nothing is"
                " deleted for its age before two days of running; set the clock if it is wrong"
            )
            self._events.report(Event("date-doubted", message, now, severity="warning"))
        return reason is not None

    def _prune(self, now: datetime) -> None:
        keep, stop = self._keep, self._stopped.is_set
        pruned = self._retention.prune(now, keep.media, stop=stop)
        pruned += self._retention.prune_rows(now, keep.events, keep.sent, stop=stop)
        if not pruned:
            logger.debug("retention: nothing is older than its keep")
            return
        severity = "warning" if pruned.failed else "info"
        event = Event("retention", sentence(pruned), now, details=details(pruned), severity=severity)
        self._events.report(event)


def sentence(pruned: Pruned) -> str:
    """What was deleted, in one sentence."""
    message = f"{pruned.rows} rows let go of their images; {pruned.files} files, {pruned.bytes} bytes"
    if pruned.events or pruned.messages:
        message += f"; {pruned.events} events and {pruned.messages} sent messages deleted"
    if pruned.failed:
        message += f"; {pruned.failed} files could not be deleted, see the log"
    return message


def details(pruned: Pruned) -> dict[str, str | int | float | None]:
    """What was deleted, in numbers for the event."""
    return {
        "rows": pruned.rows,
        "files": pruned.files,
        "bytes": pruned.bytes,
        "missing": pruned.missing,
        "failed": pruned.failed,
        "events": pruned.events,
        "messages": pruned.messages,
    }
