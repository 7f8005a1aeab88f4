"""``Inspector``: a batch of frames and their recipes in, results out. It scores, segments and decides."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from agent.domain.errors import ModelError, SightlineError
from agent.domain.form import ImageForm, ReferenceForm
from agent.domain.frame import Image
from agent.domain.inspection import Defect, HeatMap
from agent.domain.recipe import Recipe
from agent.domain.verdict import Verdict, decide
from agent.inference.batch_limit import BatchLimit, device_lost, out_of_memory, release
from agent.inference.reference_images import ReferenceImages
from agent.inference.regional import Regional, box_of, map_pixels
from agent.inference.tiled import TiledMethod, TiledPrepared, without_tiles
from agent.methods.maps import FloatMap, regions
from agent.methods.memory import MemoryBank
from agent.methods.memory_state import Memorising
from agent.methods.prepared import (
    Groups,
    Method,
    Prepared,
    PreparedRecipe,
    RotatingMethod,
    Scored,
)
from agent.methods.registry import MethodRegistry
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

FALLBACK_FRACTION = 0.8
"""If a frame for people has no pixel above the map threshold, those above this share of the highest are
outlined."""

HEAT_SIDE = 640
"""Longest side in pixels of the heat maps that people look at."""


@dataclass(frozen=True, slots=True)
class InspectionResult:
    """The verdict on one frame, with the score and the defects that led to it."""

    verdict: Verdict
    reason: str
    score: float | None = None
    defects: tuple[Defect, ...] = ()
    mask: NDArray[np.uint8] | None = None
    """(H, W) labels, i the i-th defect; None if nothing is outlined."""
    infer_ms: float = 0.0
    """This frame's share of its batch."""
    model_digest: str | None = None
    """Digest of the weights that scored it; None if no method did."""
    heat: HeatMap | None = None
    """The anomaly map of a frame that did not pass; None if the method has none."""
    unlike: str | None = None
    """What of the frame is unlike the references in form, a sentence; None if nothing is."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How maps become defects."""

    minimum_area: float = 0.0002
    """Smallest defect as a fraction of the frame."""
    most_defects: int = 16
    outline: float = 0.5
    """A defect's outline takes in what is above this share of its highest pixel."""


class Inspector:
    """Owns the device: one batch at a time, for all callers."""

    def __init__(self, methods: MethodRegistry | Method, segmentation: Segmentation | None = None) -> None:
        """``methods``: those that recipes may name; a single one scores every recipe."""
        self._methods = methods if isinstance(methods, MethodRegistry) else MethodRegistry.only(methods)
        self._segmentation = segmentation or Segmentation()
        self._device = threading.Lock()
        self._limit = BatchLimit()
        self._tiled: dict[int, TiledMethod] = {}
        self.counters = Counters()
        """Counts failures; the agent sets its own counters here."""

    @property
    def method(self) -> Method:
        """The method of recipes that are still to be written. Raises RecipeError, ModelError."""
        return self._methods.get(self._methods.default)

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> Prepared:
        """The recipe with its words embedded and its references memorised by its own method.

        ``groups``: as in :meth:`agent.methods.prepared.Method.prepare`.

        Raises RecipeError, ModelError; RuntimeError or ValueError as the method gives it.
        """
        method = Regional(self._judging(recipe))
        images = ReferenceImages.of(references)
        images.need(self.reference_side(recipe))
        try:
            prepared = method.prepare(recipe, images, groups)
            if isinstance(prepared, PreparedRecipe | TiledPrepared):
                return replace(prepared, form=ReferenceForm.among(images.forms))
            return prepared
        except (SightlineError, RuntimeError, ValueError):
            raise
        except Exception as error:
            # A method and its models are foreign code: their errors concern this recipe only.
            self.counters.add("model_failures")
            raise ModelError(f"the method failed on this recipe: {_message_of(error)}") from error

    def memory_key(self, recipe: Recipe) -> str | None:
        """Digest of what the recipe's memory depends on beside references, regions and tiles; None: it has no
        memory that could be kept. Raises RecipeError, ModelError.
        """
        method = self._methods.of(recipe)
        return method.memory_key(without_tiles(recipe)) if isinstance(method, Memorising) else None

    def prepare_with(
        self, recipe: Recipe, memory: Sequence[MemoryBank], form: ReferenceForm | None
    ) -> Prepared:
        """As :meth:`prepare`, from the memory of the same references, none of which is read.

        Args:
            form: what the references are like.
        """
        prepared = self.prepare(replace(recipe, references=()), ())
        if not isinstance(prepared, PreparedRecipe | TiledPrepared):
            raise ModelError(f"the method {recipe.method!r} takes back no memory")
        return replace(prepared.with_memory(recipe, memory), form=form)

    def _judging(self, recipe: Recipe) -> TiledMethod:
        """The recipe's method, tile by tile if the recipe says so. Raises RecipeError, ModelError."""
        method = self._methods.of(recipe)
        return self._tiled.setdefault(id(method), TiledMethod(method))

    def fingerprint(self, recipe: Recipe) -> str:
        """Fingerprint of all that the recipe's scores depend on beside it. Raises RecipeError, ModelError."""
        return Regional(self._methods.of(recipe)).fingerprint_with(recipe.regions)

    def orientations(self, recipe: Recipe) -> tuple[float, ...] | None:
        """Degrees in which the recipe's references are memorised; None if its method cannot rotate them.

        Raises RecipeError, ModelError.
        """
        method = self._methods.of(recipe)
        return method.orientations(without_tiles(recipe)) if isinstance(method, RotatingMethod) else None

    def reference_side(self, recipe: Recipe) -> int | None:
        """The shorter side in pixels that the recipe's method needs of a reference; None: all of it.

        Raises RecipeError, ModelError.
        """
        return Regional(self._judging(recipe)).reference_side(recipe)

    def comparing(self, recipe: Recipe) -> Recipe:
        """The recipe by which directions are compared (:meth:`RotatingMethod.comparing`), or as it is.

        They are compared on whole images. Raises RecipeError, ModelError.
        """
        method, whole = self._methods.of(recipe), without_tiles(recipe)
        return method.comparing(whole) if isinstance(method, RotatingMethod) else whole

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Scores of a batch, whose recipes may name different methods; blocks while another batch runs.

        If the memory of the device does not take the batch, it is halved until it does. Raises whatever a
        method raises.
        """
        scored: list[Scored] = []
        while len(scored) < len(images):
            scored += self._fitting(images[len(scored) :], prepared[len(scored) :])
        return scored

    def _fitting(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Scores of the first frames, as many as memory takes. Running out of it is raised for one alone."""
        count, again = self._limit.within(len(images)), True
        while True:
            try:
                scored = self._score(images[:count], prepared[:count])
            except Exception as error:
                # Running out of memory has many types. Anything else is not ours to judge here.
                if not out_of_memory(error) or (count == 1 and not again):
                    raise
                self.counters.add("out_of_memory")
                # As text: a log record that is kept would keep the error, its frames and their tensors.
                logger.warning("memory is not enough for %d frames at once: %s", count, str(error))
            else:
                self._limit.passed(count)
                return scored
            release()  # here the traceback is gone, and with it the tensors that it held
            if count == 1:
                again = False
            else:
                self._limit.refused(count)
                count = self._limit.within(count)

    def _score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        groups: dict[int, tuple[TiledMethod, list[int]]] = {}
        for index, recipe in enumerate(prepared):
            method = self._judging(recipe.recipe)
            groups.setdefault(id(method), (method, []))[1].append(index)
        scored: dict[int, Scored] = {}
        with self._device:
            for method, rows in groups.values():
                group = [prepared[row] for row in rows]
                results = Regional(method).score([images[row] for row in rows], group)
                if len(results) != len(rows):
                    raise ModelError(f"the method gave {len(results)} results for {len(rows)} frames")
                scored.update(zip(rows, results, strict=True))
        return [scored[index] for index in range(len(images))]

    def inspect(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[InspectionResult]:
        """Judge a batch. A frame that the model fails on ends as ERROR, its neighbours are judged.

        Raises RuntimeError if the device is lost, see :func:`agent.inference.batch_limit.device_lost`.
        """
        started = time.perf_counter()
        scored = self._score_each(images, prepared)
        share = (time.perf_counter() - started) * 1000.0 / max(1, len(images))
        results: list[InspectionResult] = []
        for image, recipe, one in zip(images, prepared, scored, strict=True):
            begun = time.perf_counter()
            result = one if isinstance(one, InspectionResult) else self._judge_one(image, recipe, one)
            result = _with_form(result, image, recipe)
            own = (time.perf_counter() - begun) * 1000.0
            digest = self._digest(recipe)
            results.append(replace(result, infer_ms=share + own, model_digest=digest))
        return results

    def _digest(self, prepared: Prepared) -> str | None:
        try:
            return self._methods.of(prepared.recipe).digest
        except SightlineError:  # the result already names the missing method
            return None

    def _score_each(
        self, images: Sequence[Image], prepared: Sequence[Prepared]
    ) -> list[Scored | InspectionResult]:
        results: list[Scored | InspectionResult] = []
        limit, alone = self._limit.most, False
        while len(results) < len(images):
            done = len(results)
            rest = slice(done, done + 1 if alone else None)
            single = len(images[rest]) == 1
            try:
                results += self._fitting(images[rest], prepared[rest])
            except Exception as error:
                # A method and its models are foreign code, and one frame must not cost its neighbours:
                # whatever is raised ends this frame as ERROR, with the reason in its row.
                if device_lost(error):
                    raise  # probably not the frame's fault: the stage dies, and is counted
                memory = out_of_memory(error)  # raised for a single frame only
                if not (memory or single):
                    logger.warning("a batch failed, trying its frames one by one: %s", error)
                    alone = True
                    continue
                logger.exception("the model failed on a frame")
                results.append(self._failed(error))
                if memory:
                    self._limit.restore(limit)
        return results

    def _judge_one(self, image: Image, prepared: Prepared, scored: Scored) -> InspectionResult:
        try:
            return self._judge(image, prepared, scored)
        except Exception as error:
            # A method's output may have any shape: as above.
            logger.exception("what the model gave for a frame cannot be used")
            return self._failed(error)

    def _failed(self, error: Exception) -> InspectionResult:
        self.counters.add("model_failures")
        if out_of_memory(error):
            return InspectionResult(
                Verdict.ERROR,
                f"memory is not enough for this frame even alone: {_message_of(error)}; "
                "free memory of the device or send a smaller image",
            )
        return InspectionResult(Verdict.ERROR, f"the model failed on this frame: {_message_of(error)}")

    def _judge(self, image: Image, prepared: Prepared, scored: Scored) -> InspectionResult:
        if scored.lacking is not None:
            return InspectionResult(Verdict.REVIEW, scored.lacking)
        if not math.isfinite(scored.score):
            return InspectionResult(Verdict.ERROR, f"the model gave {scored.score} as score for this frame")
        recipe = prepared.recipe
        verdict, reason = decide(scored.score, recipe.calibration, recipe.shots)
        result = InspectionResult(verdict, reason, scored.score)
        if verdict is Verdict.PASS or scored.anomaly_map is None:
            return result
        if not bool(scored.anomaly_map.isfinite().all()):
            return InspectionResult(
                Verdict.ERROR, "the model gave an anomaly map with values that are not numbers"
            )
        pixels = map_pixels(scored.anomaly_map, scored.window, recipe.regions, image.shape[:2])
        threshold = _map_threshold(prepared)
        mask, defects = self._segment(pixels, prepared, scored, threshold, certain=verdict is Verdict.FAIL)
        heat = HeatMap(_reduced(np.maximum(pixels, np.float32(_lowest(pixels)))), threshold)
        return replace(result, defects=defects, mask=mask if defects else None, heat=heat)

    def _segment(
        self, pixels: FloatMap, prepared: Prepared, scored: Scored, threshold: float, *, certain: bool
    ) -> tuple[NDArray[np.uint8], tuple[Defect, ...]]:
        options = self._segmentation
        mask, found = regions(
            pixels,
            threshold,
            minimum_area=options.minimum_area,
            most=options.most_defects,
            outline=options.outline,
        )
        highest = pixels.max()
        if not found and (certain or highest > _lowest(pixels)):
            # FAIL or REVIEW without a place to look at helps nobody: this one came closest. On an even map
            # none did, and only a verdict of FAIL outlines all of it.
            closest = float(min(FALLBACK_FRACTION * highest, np.nextafter(highest, np.float32(-np.inf))))
            mask, found = regions(pixels, closest, minimum_area=0.0, most=1)
        defects = tuple(
            Defect(
                index=index,
                label=_label(prepared, scored, mask == index),
                score=region.score,
                bbox=region.bbox,
                area_px=region.area_px,
                area_fraction=region.area_px / pixels.size,
            )
            for index, region in enumerate(found, start=1)
        )
        return mask, defects


def _lowest(pixels: FloatMap) -> float:
    """Of what is inspected: elsewhere the map is minus infinity."""
    return float(pixels.min(where=np.isfinite(pixels), initial=np.inf))


def _map_threshold(prepared: Prepared) -> float:
    calibration = prepared.recipe.calibration
    if calibration is not None and calibration.map_threshold is not None:
        return calibration.map_threshold
    return prepared.mask_threshold


def _reduced(pixels: FloatMap) -> FloatMap:
    """The map at :data:`HEAT_SIDE` at most: a frame that waits to be recorded keeps little memory."""
    height, width = pixels.shape
    factor = HEAT_SIDE / max(height, width)
    if factor >= 1.0:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _with_form(result: InspectionResult, image: Image, prepared: Prepared) -> InspectionResult:
    """The result, and how the frame is unlike the references in form; a good part needs no reason for it."""
    form = prepared.form if isinstance(prepared, PreparedRecipe | TiledPrepared) else None
    if form is None or result.score is None:
        return result
    differences = form.differences(ImageForm.of(image))
    if not differences:
        return result
    sentence = f"the frame is unlike its references in form: {', '.join(differences)}"
    if result.verdict is not Verdict.PASS:
        result = replace(result, reason=f"{result.reason}; {sentence}")
    return replace(result, unlike=sentence)


def _message_of(error: Exception) -> str:
    """The message of an error; for types that usually mean a bug, with their name."""
    if isinstance(error, RuntimeError | ValueError | SightlineError):
        return str(error)
    return f"{type(error).__name__}: {error}"


ANOMALY = "anomaly"
"""The label of a region that no name fits with certainty."""


def region_feature(scored: Scored, region: NDArray[np.bool_]) -> torch.Tensor | None:
    """(D,) mean of the text-aligned patches that an (H, W) region covers; None if there are none."""
    if scored.patches is None:
        return None
    x0, y0, x1, y1 = box_of(scored.window, *region.shape)
    height, width = scored.patches.shape[:2]
    weights = torch.nn.functional.adaptive_avg_pool2d(
        torch.from_numpy(region[y0:y1, x0:x1].astype(np.float32))[None, None], (height, width)
    )[0, 0].to(scored.patches)
    total = weights.sum()
    if float(total) <= 0.0:
        return None
    return (scored.patches * weights[:, :, None]).sum(dim=(0, 1)) / total


def _label(prepared: Prepared, scored: Scored, region: NDArray[np.bool_]) -> str:
    """The name of a region, if it beats the others by the margin that its recipe was calibrated to."""
    calibration = prepared.recipe.calibration
    if calibration is None or calibration.label_margin is None:
        return ANOMALY
    mean = region_feature(scored, region)
    if mean is None or prepared.lead(mean) < calibration.label_margin:
        return ANOMALY
    return prepared.label(mean) or ANOMALY
