"""The hourly retention of one agent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent.app.options import keep_by_verdict
from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.monitors.clock import ClockGuard
from agent.ports import History, Pruned, Retention
from agent.telemetry import Counters
from config import Settings

_log = logging.getLogger(__name__)

FIRST_AFTER_S = 300.0
EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Keep:
    """How long things are kept; None: for ever."""

    media: Mapping[str, timedelta | None]
    """Images, by verdict."""
    events: timedelta | None = None
    sent: timedelta | None = None
    """What was sent and when."""

    @classmethod
    def of(cls, settings: Settings) -> Keep:
        """As configured."""
        rows = settings.database.keep
        return cls(keep_by_verdict(settings), rows.events, rows.sent)


class RetentionTask:
    """Prunes when the schedule says so and the date is believed, and tells of it in log and history."""

    def __init__(
        self,
        retention: Retention,
        history: History,
        keep: Keep,
        counters: Counters,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        guard: ClockGuard | None = None,
    ) -> None:
        self._retention = retention
        self._history = history
        self._keep = keep
        self._counters = counters
        self._clock = clock
        self._guard = guard or ClockGuard(clock)
        self._doubted = False
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let a run that is under way end after its transaction."""
        self._stopped.set()

    def __call__(self) -> None:
        """One run. A database that refuses is counted and logged; the next run goes on from there."""
        now = self._clock()
        try:
            if not self._doubts(now):
                self._prune(now)
        except StorageError as error:
            self._counters.add("retention_failed")
            _log.warning("retention: %s; it is tried again in an hour", error)

    def _doubts(self, now: datetime) -> bool:
        """Whether the date is doubted; told once."""
        reason = self._guard.doubt(self._retention.newest_before)
        told, self._doubted = self._doubted, reason is not None
        if reason is None:
            return False
        if not told:
            message = (
                f"{reason}: either the line stood still or the date {now:%Y-%m-%d} is wrong. Nothing is"
                " deleted for its age before two days of running; set the clock if it is wrong"
            )
            _log.warning("retention: %s", message)
            self._doubted = False  # where the event is refused, it is told again
            self._history.record_event(Event("date-doubted", message, now, severity="warning"))
            self._doubted = True
        return True

    def _prune(self, now: datetime) -> None:
        keep, stop = self._keep, self._stopped.is_set
        pruned = self._retention.prune(now, keep.media, stop=stop)
        pruned += self._retention.prune_rows(now, keep.events, keep.sent, stop=stop)
        if not pruned:
            _log.debug("retention: nothing is older than its keep")
            return
        message = sentence(pruned)
        _log.info("retention: %s", message)
        severity = "warning" if pruned.failed else "info"
        self._history.record_event(
            Event("retention", message, now, details=details(pruned), severity=severity)
        )


def sentence(pruned: Pruned) -> str:
    """What was done, for people."""
    message = f"{pruned.rows} rows let go of their images; {pruned.files} files, {pruned.bytes} bytes"
    if pruned.events or pruned.messages:
        message += f"; {pruned.events} events and {pruned.messages} sent messages deleted"
    if pruned.failed:
        message += f"; {pruned.failed} files could not be deleted, see the log"
    return message


def details(pruned: Pruned) -> dict[str, str | int | float | None]:
    """The same in numbers."""
    return {
        "rows": pruned.rows,
        "files": pruned.files,
        "bytes": pruned.bytes,
        "missing": pruned.missing,
        "failed": pruned.failed,
        "events": pruned.events,
        "messages": pruned.messages,
    }
