"""The hourly retention of one agent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from agent.counters import Counters
from agent.decision import Verdict
from agent.errors import StorageError
from agent.inspection import Event
from agent.ports import History, Retention
from config import Settings

_log = logging.getLogger(__name__)

FIRST_AFTER_S = 300.0
EVERY_S = 3600.0


def keep_by_verdict(settings: Settings) -> dict[str, timedelta | None]:
    """How long the media of each verdict are kept; a frame that was skipped has none."""
    keep = settings.media.keep
    return {
        Verdict.PASS: keep.pass_,
        Verdict.FAIL: keep.fail,
        Verdict.REVIEW: keep.review,
        Verdict.ERROR: keep.error,
    }


class RetentionTask:
    """Prunes when the schedule says so, and tells of it in the log and in the history."""

    def __init__(
        self,
        retention: Retention,
        history: History,
        keep: dict[str, timedelta | None],
        counters: Counters,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._retention = retention
        self._history = history
        self._keep = keep
        self._counters = counters
        self._clock = clock
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let a run that is under way end after its transaction."""
        self._stopped.set()

    def __call__(self) -> None:
        """One run. A database that refuses is counted and logged; the next run goes on from there."""
        now = self._clock()
        try:
            pruned = self._retention.prune(now, self._keep, stop=self._stopped.is_set)
            if not (pruned.rows or pruned.files or pruned.failed):
                _log.debug("retention: no picture is older than its keep")
                return
            message = (
                f"{pruned.rows} rows let go of their pictures; {pruned.files} files, {pruned.bytes} bytes"
            )
            if pruned.failed:
                message += f"; {pruned.failed} files could not be deleted, see the log"
            _log.info("retention: %s", message)
            details = {
                "rows": pruned.rows,
                "files": pruned.files,
                "bytes": pruned.bytes,
                "missing": pruned.missing,
                "failed": pruned.failed,
            }
            severity = "warning" if pruned.failed else "info"
            self._history.record_event(Event("retention", message, now, details=details, severity=severity))
        except StorageError as error:
            self._counters.add("retention_failed")
            _log.warning("retention: %s; it is tried again in an hour", error)
