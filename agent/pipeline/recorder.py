"""Recorder: media to disk, one transaction for row and messages, then the acknowledgement."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from agent.domain.camera_rules import CameraRulebook
from agent.domain.errors import FrameIdUsedError
from agent.domain.frame import SUFFIX_OF, Frame
from agent.domain.inspection import Inspection, MediaPaths, RecipeStamp, Timings
from agent.domain.regions import EVERYWHERE
from agent.domain.verdict import Verdict
from agent.inference.inspector import InspectionResult
from agent.monitors.monitors import Monitors
from agent.pipeline.in_flight import InFlight
from agent.pipeline.work_item import DrawnResult, WorkItem
from agent.ports import Entry, History, ImageCodec, MediaFile, MediaStore, Sink
from agent.telemetry import TOTAL, Counters, Measures, about

logger = logging.getLogger(__name__)

_QUIET = (Verdict.PASS, Verdict.SKIPPED)
"""Verdicts with too many frames to log each; the level DEBUG logs them."""

_SHOWN = (Verdict.FAIL, Verdict.REVIEW)
"""Verdicts that people look into: they get an overlay even if the method outlines nothing."""


class Recorder:
    """Turns inspected work items into rows, files and messages."""

    def __init__(
        self,
        history: History,
        media: MediaStore,
        codec: ImageCodec,
        sinks: Sequence[Sink],
        in_flight: InFlight,
        counters: Counters,
        *,
        rules: CameraRulebook,
        monitors: Monitors | None = None,
        measures: Measures | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._media = media
        self._codec = codec
        self._sinks = tuple(sinks)
        self._in_flight = in_flight
        self._counters = counters
        self._rules = rules
        self._monitors = monitors
        self._measures = measures or Measures()
        self._clock = clock
        self._monotonic = monotonic

    def record(self, works: Sequence[WorkItem]) -> None:
        """Write the rows of all ``works`` in one transaction and acknowledge their deliveries.

        Raises:
            StorageError: nothing was written and nothing acknowledged; call again.
        """
        entries = self._entries(works)
        started = time.monotonic()
        new = self._store(works, entries)
        self._measures.observe("commit", time.monotonic() - started)
        recorded: list[tuple[WorkItem, Inspection]] = []
        for work, entry, fresh in zip(works, entries, new, strict=True):
            self._counters.add(f"verdict_{entry.inspection.verdict}" if fresh else "frames_repeated")
            for acknowledge in self._in_flight.leave(work.in_flight_as or work.identity):
                acknowledge()
            if fresh:
                if work.in_flight_as is not None and self._monitors is not None:
                    self._monitors.frame_ids.note(work.identity)
                recorded.append((work, entry.inspection))
        now = self._monotonic()
        for work, inspection in recorded:
            log_result(inspection)
            measure(inspection, now - work.delivery.arrived, self._measures)
        if self._monitors is not None:
            for work, inspection in recorded:
                recipe = None if work.prepared is None else work.prepared.recipe
                unlike = None if work.result is None else work.result.unlike
                self._monitors.observe(inspection, recipe, unlike)

    def _store(self, works: Sequence[WorkItem], entries: list[Entry]) -> Sequence[bool]:
        """Store the entries. A frame whose id belongs to the row of another image gets an id of its own.

        Ids are compared where the rows are written: no frame waits for a question to the database, and of two
        agents that write one id at a time the second finds out.
        """
        while True:
            try:
                return self._history.record(entries)
            except FrameIdUsedError as used:
                renamed = [works[position] for position in used.positions]
                for work in renamed:
                    work.give_own_id()
                for position, entry in zip(used.positions, self._entries(renamed), strict=True):
                    entries[position] = entry

    def _entries(self, works: Sequence[WorkItem]) -> list[Entry]:
        """The entries of ``works``. Their files are stored together: the disk is waited for once."""
        inspections, files = [], []
        for work in works:
            started = self._monotonic()
            if work.result is None:
                raise ValueError("a work item without result reached the recorder")
            inspection = self._inspection(work, work.result)
            files.append(self._files(work, work.result, inspection))
            inspections.append(_recorded_in(inspection, self._monotonic() - started))
        started = self._monotonic()
        paths = iter(self._media.put_all([file for one in files for file in one.values()]))
        share_s = (self._monotonic() - started) / max(1, len(works))
        entries = []
        for work, drawn, own in zip(works, inspections, files, strict=True):
            media = MediaPaths(**{role: next(paths) for role in own})
            inspection = replace(_recorded_in(drawn, share_s), media=media)
            entries.append(self._entry(work, inspection, own.get("mask")))
        return entries

    def _entry(self, work: WorkItem, inspection: Inspection, mask: MediaFile | None) -> Entry:
        if inspection.verdict is Verdict.SKIPPED or work.silent:
            return Entry(inspection)
        png = None if mask is None else mask.content
        composed = (sink.compose(inspection, png, work.delivery) for sink in self._sinks)
        return Entry(inspection, tuple(message for messages in composed for message in messages))

    def _inspection(self, work: WorkItem, result: InspectionResult) -> Inspection:
        now, ticks = self._clock(), self._monotonic()
        rules = self._rules.of(work.identity.camera)
        age_ms = (ticks - work.delivery.arrived) * 1000.0
        recipe = work.prepared.recipe if work.prepared is not None else None
        calibration = recipe.calibration if recipe is not None else None
        waited_ms = 0.0
        if work.decoded is not None:
            waited_ms = max(0.0, (ticks - work.decoded) * 1000.0 - result.infer_ms)
        return Inspection(
            inspection_id=work.inspection_id,
            identity=work.identity,
            sku=work.sku,
            verdict=result.verdict,
            reason=result.reason,
            received_at=work.delivery.received_at,
            inspected_at=now,
            score=result.score,
            threshold=calibration.threshold if calibration else None,
            threshold_source=calibration.source if calibration else None,
            calibrated=calibration is not None,
            shadow=rules.shadow,
            late=rules.cycle_time_ms is not None and age_ms > rules.cycle_time_ms,
            defects=result.defects,
            recipe=None
            if recipe is None
            else RecipeStamp(recipe.id, recipe.version, recipe.method, recipe.prompts.source, recipe.shots),
            model_digest=result.model_digest,
            timings=Timings(work.queue_ms + waited_ms, work.decode_ms, result.infer_ms),
            size=(work.frame.width, work.frame.height) if work.frame is not None else None,
            regions=EVERYWHERE if recipe is None else recipe.regions,
        )

    def _files(
        self, work: WorkItem, result: InspectionResult, inspection: Inspection
    ) -> dict[str, MediaFile]:
        """The files of a frame, by their role in :class:`MediaPaths`."""
        frame = work.frame
        if frame is None:
            return {}
        if work.drawn is None:  # once, however often the database refuses the row
            work.drawn = self._draw(frame, result, inspection)
        files = {"image": MediaFile(frame.encoded, SUFFIX_OF.get(frame.media_type, ".img"))}
        if work.drawn.mask is not None:
            files["mask"] = MediaFile(work.drawn.mask, ".png")
        if work.drawn.overlay is not None:
            files["overlay"] = MediaFile(work.drawn.overlay, ".jpg")
        return files

    def _draw(self, frame: Frame, result: InspectionResult, inspection: Inspection) -> DrawnResult:
        mask = overlay = None
        if result.mask is not None and bool(np.any(result.mask)):
            mask = self._codec.encode_mask(result.mask)
        if mask is not None or result.verdict in _SHOWN:
            overlay = self._codec.encode_overlay(frame.image, result.mask, inspection, result.heat)
        return DrawnResult(mask, overlay)


def _recorded_in(inspection: Inspection, seconds: float) -> Inspection:
    """The inspection with that much more time for its record."""
    timings = inspection.timings
    return replace(inspection, timings=replace(timings, record=timings.record + seconds * 1000.0))


def log_result(inspection: Inspection) -> None:
    """Log one line for a frame whose row is written."""
    level = logging.DEBUG if inspection.verdict in _QUIET else logging.INFO
    if logger.isEnabledFor(level):
        fields = about(inspection.identity, sku=inspection.sku, inspection_id=inspection.inspection_id)
        logger.log(level, "%s: %s", inspection.verdict, inspection.reason, extra=fields)


def measure(inspection: Inspection, total_s: float, measures: Measures) -> None:
    """Measure how long a frame took, by stage and from receipt to row. Skipped frames are not measured."""
    if inspection.verdict is Verdict.SKIPPED:
        return
    for stage in ("queue", "decode", "infer", "record"):
        measures.observe(stage, getattr(inspection.timings, stage) / 1000.0)
    measures.observe(TOTAL, total_s)
