"""The watch over what was recorded: scores that drift are told once, by camera and product."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from agent.domain.errors import StorageError
from agent.domain.inspection import Event, Inspection
from agent.domain.recipe import Recipe
from agent.domain.verdict import Verdict
from agent.drift import Baseline, DriftChange, DriftMonitor
from agent.line.work import Work
from agent.ports import Announcer, History
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)


class DriftWatch:
    """Feeds recorded inspections to the monitor, and its findings to history and alerts.

    Runs on the recording thread, after the rows are written: a finding that storage refuses costs an event,
    which is counted, and never a frame.
    """

    def __init__(
        self, monitor: DriftMonitor, history: History, announcer: Announcer, counters: Counters
    ) -> None:
        self._monitor = monitor
        self._history = history
        self._announcer = announcer
        self._counters = counters

    def observe(self, recorded: Iterable[tuple[Work, Inspection]]) -> None:
        """Inspections as they were written, in their order."""
        for work, inspection in recorded:
            recipe = work.prepared.recipe if work.prepared is not None else None
            if recipe is None or inspection.score is None or recipe.calibration is None:
                continue  # without a threshold nothing was judged good
            change = self._monitor.observe(
                str(inspection.identity.camera),
                recipe.sku,
                recipe.version,
                inspection.score,
                passed=inspection.verdict is Verdict.PASS,
                baseline=_baseline(recipe),
            )
            if change is not None:
                self._tell(change, inspection, recipe.sku)

    def _tell(self, change: DriftChange, inspection: Inspection, sku: str) -> None:
        camera = inspection.identity.camera
        sentence = change.sentence(str(camera), sku)
        kind, severity = ("drift", "warning") if change.drifted else ("drift-over", "info")
        event = Event(
            kind,
            sentence,
            inspection.inspected_at,
            camera=str(camera),
            sku=sku,
            details={
                "direction": change.direction.value,
                "frames": change.frames,
                "usual": change.usual,
                "now": change.now,
            },
            severity=severity,
        )
        alert = self._announcer.alert(camera, kind, sentence, event.at, severity=severity, sku=sku)
        messages = () if inspection.shadow else (alert,)
        fields = about(camera, sku=sku)
        try:
            self._history.announce(event, messages)
        except StorageError as error:
            self._counters.add("events_lost")
            logger.error("%s (the event could not be written: %s)", sentence, error, extra=fields)
        else:
            logger.log(logging.WARNING if change.drifted else logging.INFO, "%s", sentence, extra=fields)


def _baseline(recipe: Recipe) -> Baseline | None:
    """What is usual, as the calibration saw it; None where an older version did not keep it."""
    calibration = recipe.calibration
    if calibration is None or calibration.log_mean is None or calibration.log_deviation is None:
        return None
    return Baseline(calibration.log_mean, calibration.log_deviation, calibration.samples)
