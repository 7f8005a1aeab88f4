"""The recording stage: media to disk, one transaction, then the acknowledgement."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from agent.domain.frame import Camera
from agent.domain.inspection import Inspection, MediaPaths, RecipeStamp, Timings
from agent.domain.verdict import Verdict
from agent.inference.inspector import InspectionResult
from agent.pipeline.in_flight import InFlight
from agent.pipeline.monitors import Monitors
from agent.pipeline.work_item import WorkItem
from agent.ports import Entry, History, ImageCodec, MediaStore, MessageComposer
from agent.telemetry import TOTAL, Counters, Measures, about

logger = logging.getLogger(__name__)

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What the recorder needs of the configuration."""

    shadow: Callable[[Camera], bool] = lambda camera: False
    cycle_time_ms: Callable[[Camera], float | None] = lambda camera: None


class Recorder:
    """Turns judged work into rows, files and messages."""

    def __init__(
        self,
        history: History,
        media: MediaStore,
        codec: ImageCodec,
        announcer: MessageComposer,
        in_flight: InFlight,
        counters: Counters,
        *,
        options: RecordingOptions,
        watch: Monitors | None = None,
        measures: Measures | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._media = media
        self._codec = codec
        self._announcer = announcer
        self._in_flight = in_flight
        self._counters = counters
        self._options = options
        self._watch = watch
        self._measures = measures or Measures()
        self._clock = clock
        self._monotonic = monotonic

    def record(self, works: Sequence[WorkItem]) -> None:
        """Write the rows of all ``works`` in one transaction and acknowledge their deliveries.

        Raises:
            StorageError: nothing was written and nothing acknowledged; call again.
        """
        entries = [self._entry(work) for work in works]
        started = time.monotonic()
        new = self._history.record(entries)
        self._measures.observe("commit", time.monotonic() - started)
        recorded: list[tuple[WorkItem, Inspection]] = []
        for work, entry, fresh in zip(works, entries, new, strict=True):
            self._counters.add(f"verdict_{entry.inspection.verdict}" if fresh else "frames_repeated")
            for acknowledge in self._in_flight.leave(work.identity):
                acknowledge()
            if fresh:
                recorded.append((work, entry.inspection))
        now = self._monotonic()
        tell(((inspection, now - work.delivery.arrived) for work, inspection in recorded), self._measures)
        if self._watch is not None:
            self._watch.observe(
                (inspection, None if work.prepared is None else work.prepared.recipe)
                for work, inspection in recorded
            )

    def _entry(self, work: WorkItem) -> Entry:
        started = self._monotonic()
        if work.judgement is None:
            raise ValueError("a work without judgement reached the recorder")
        inspection = self._inspection(work, work.judgement)
        inspection, mask = self._with_media(work, work.judgement, inspection)
        record_ms = (self._monotonic() - started) * 1000.0
        inspection = replace(inspection, timings=replace(inspection.timings, record=record_ms))
        if inspection.verdict is Verdict.SKIPPED or work.silent:
            return Entry(inspection)
        return Entry(inspection, self._announcer.compose(inspection, mask, work.delivery))

    def _inspection(self, work: WorkItem, judgement: InspectionResult) -> Inspection:
        now, ticks = self._clock(), self._monotonic()
        cycle_ms = self._options.cycle_time_ms(work.identity.camera)
        age_ms = (ticks - work.delivery.arrived) * 1000.0
        recipe = work.prepared.recipe if work.prepared is not None else None
        calibration = recipe.calibration if recipe is not None else None
        waited_ms = 0.0
        if work.decoded is not None:
            waited_ms = max(0.0, (ticks - work.decoded) * 1000.0 - judgement.infer_ms)
        return Inspection(
            inspection_id=work.inspection_id,
            identity=work.identity,
            sku=work.sku,
            verdict=judgement.verdict,
            reason=judgement.reason,
            received_at=work.delivery.received_at,
            inspected_at=now,
            score=judgement.score,
            threshold=calibration.threshold if calibration else None,
            threshold_source=calibration.source if calibration else None,
            calibrated=calibration is not None,
            shadow=self._options.shadow(work.identity.camera),
            late=cycle_ms is not None and age_ms > cycle_ms,
            defects=judgement.defects,
            recipe=None
            if recipe is None
            else RecipeStamp(recipe.id, recipe.version, recipe.method, recipe.prompts.source, recipe.shots),
            model_digest=judgement.model_digest,
            timings=Timings(work.queue_ms + waited_ms, work.decode_ms, judgement.infer_ms),
            size=(work.frame.width, work.frame.height) if work.frame is not None else None,
        )

    def _with_media(
        self, work: WorkItem, judgement: InspectionResult, inspection: Inspection
    ) -> tuple[Inspection, bytes | None]:
        frame = work.frame
        if frame is None:
            return inspection, None
        image = self._media.put(frame.encoded, _SUFFIXES.get(frame.media_type, ".img"))
        mask_png = mask_path = overlay_path = None
        if judgement.mask is not None and bool(np.any(judgement.mask)):
            mask_png = self._codec.encode_mask(judgement.mask)
            mask_path = self._media.put(mask_png, ".png")
            overlay = self._codec.encode_overlay(frame.image, judgement.mask, inspection)
            overlay_path = self._media.put(overlay, ".jpg")
        media = MediaPaths(image=image, mask=mask_path, overlay=overlay_path)
        return replace(inspection, media=media), mask_png


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
