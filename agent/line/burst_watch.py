"""The watch over bursts of failed parts: told when they begin and when they are over."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from agent.bursts import BurstMonitor
from agent.domain.errors import StorageError
from agent.domain.inspection import Event, Inspection
from agent.domain.verdict import Verdict
from agent.line.work import Work
from agent.ports import Announcer, History
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

_JUDGED = frozenset({Verdict.PASS, Verdict.FAIL, Verdict.REVIEW})


class BurstWatch:
    """Feeds recorded verdicts to the monitor, and its findings to history and alerts.

    Runs on the recording thread, after the rows are written, as :class:`agent.line.watch.DriftWatch`.
    Frames that nobody judged (ERROR, SKIPPED) count neither way.
    """

    def __init__(
        self, monitor: BurstMonitor, history: History, announcer: Announcer, counters: Counters
    ) -> None:
        self._monitor = monitor
        self._history = history
        self._announcer = announcer
        self._counters = counters

    def observe(self, recorded: Iterable[tuple[Work, Inspection]]) -> None:
        """Inspections as they were written, in their order."""
        for _, inspection in recorded:
            if inspection.verdict in _JUDGED and inspection.sku is not None:
                self._observe(inspection, inspection.sku)

    def _observe(self, inspection: Inspection, sku: str) -> None:
        camera = inspection.identity.camera
        failed = inspection.verdict is Verdict.FAIL
        change = self._monitor.observe(str(camera), sku, failed=failed)
        if change is None:
            return
        kind, severity = ("burst", "error") if change.began else ("burst-over", "info")
        sentence, at = change.sentence(str(camera), sku), inspection.inspected_at
        event = Event(
            kind,
            sentence,
            at,
            camera=str(camera),
            sku=sku,
            details={"fails": change.fails, "frames": change.frames},
            severity=severity,
        )
        alert = self._announcer.alert(camera, kind, sentence, at, severity=severity, sku=sku)
        fields = about(camera, sku=sku)
        try:
            self._history.announce(event, () if inspection.shadow else (alert,))
        except StorageError as error:
            self._counters.add("events_lost")
            logger.error("%s (the event could not be written: %s)", sentence, error, extra=fields)
        else:
            logger.log(logging.WARNING if change.began else logging.INFO, "%s", sentence, extra=fields)
