"""What is told of a frame once its row is written: one line in the log, and how long it took."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.telemetry import Measures, about

logger = logging.getLogger(__name__)

TOTAL = "total"
"""The measure from receipt to row; the others are stages."""

_QUIET = (Verdict.PASS, Verdict.SKIPPED)
"""Too many to be told one by one, unless somebody asks for them."""


def tell(recorded: Iterable[tuple[Inspection, float]], measures: Measures) -> None:
    """Of inspections as they were written, with the seconds since each was received (on the monotonic clock).

    Skipped ones took no time worth knowing.
    """
    for inspection, total_s in recorded:
        _log(inspection)
        if inspection.verdict is not Verdict.SKIPPED:
            _measure(inspection, measures, total_s)


def _log(inspection: Inspection) -> None:
    level = logging.DEBUG if inspection.verdict in _QUIET else logging.INFO
    if logger.isEnabledFor(level):
        fields = about(inspection.identity, sku=inspection.sku, inspection_id=inspection.inspection_id)
        logger.log(level, "%s: %s", inspection.verdict, inspection.reason, extra=fields)


def _measure(inspection: Inspection, measures: Measures, total_s: float) -> None:
    timings = inspection.timings
    for stage in ("queue", "decode", "infer", "record"):
        measures.observe(stage, getattr(timings, stage) / 1000.0)
    measures.observe(TOTAL, total_s)
