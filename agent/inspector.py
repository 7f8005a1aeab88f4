"""The inspector: a batch of frames and their recipes in, judgements out. Score, segment, decide."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from agent.decision import Verdict, decide
from agent.errors import SightlineError
from agent.frame import Image
from agent.inspection import Defect
from agent.methods.choice import Methods
from agent.methods.maps import FloatMap, regions, to_pixels
from agent.methods.method import Method, Prepared, Scored
from agent.recipe import Recipe

logger = logging.getLogger(__name__)

FALLBACK_FRACTION = 0.8
"""Where a failed frame has no pixel above the map threshold, its highest pixels are outlined."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the models and the calibration say of one frame."""

    verdict: Verdict
    reason: str
    score: float | None = None
    defects: tuple[Defect, ...] = ()
    mask: NDArray[np.uint8] | None = None
    """(H, W) labels, i the i-th defect; None where nothing is outlined."""
    infer_ms: float = 0.0
    """This frame's share of its batch."""
    model_digest: str | None = None
    """Of the weights that scored it; None where no method did."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How maps become defects."""

    minimum_area: float = 0.0002
    """Smallest defect as a fraction of the frame."""
    most_defects: int = 16
    outline: float = 0.5
    """A defect's outline takes in what is above this share of its highest pixel."""


class Inspector:
    """Owns the device: one batch at a time, whoever asks."""

    def __init__(self, methods: Methods | Method, segmentation: Segmentation | None = None) -> None:
        """``methods``: those that recipes may name; a single one scores every recipe."""
        self._methods = methods if isinstance(methods, Methods) else Methods.only(methods)
        self._segmentation = segmentation or Segmentation()
        self._device = threading.Lock()

    @property
    def method(self) -> Method:
        """The method of recipes that are still to be written. Raises RecipeError, ModelError."""
        return self._methods.get(self._methods.default)

    def prepare(self, recipe: Recipe, references: Sequence[Image]) -> Prepared:
        """The recipe with its words embedded and its references memorised by its own method.

        Raises RecipeError, ModelError.
        """
        return self._methods.of(recipe).prepare(recipe, references)

    def fingerprint(self, recipe: Recipe) -> str:
        """Of all that the recipe's scores depend on beside itself. Raises RecipeError, ModelError."""
        return self._methods.of(recipe).fingerprint

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Scores of a batch, whose recipes may name different methods; blocks while another batch runs."""
        groups: dict[int, tuple[Method, list[int]]] = {}
        for index, recipe in enumerate(prepared):
            method = self._methods.of(recipe.recipe)
            groups.setdefault(id(method), (method, []))[1].append(index)
        scored: dict[int, Scored] = {}
        with self._device:
            for method, rows in groups.values():
                results = method.score([images[row] for row in rows], [prepared[row] for row in rows])
                scored.update(zip(rows, results, strict=True))
        return [scored[index] for index in range(len(images))]

    def inspect(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Judgement]:
        """Judge a batch. A frame that the model fails on ends as ERROR, its neighbours are judged."""
        started = time.perf_counter()
        scored = self._score_each(images, prepared)
        share = (time.perf_counter() - started) * 1000.0 / max(1, len(images))
        judgements: list[Judgement] = []
        for image, recipe, one in zip(images, prepared, scored, strict=True):
            begun = time.perf_counter()
            judgement = one if isinstance(one, Judgement) else self._judge(image, recipe, one)
            own = (time.perf_counter() - begun) * 1000.0
            digest = self._methods.of(recipe.recipe).digest
            judgements.append(replace(judgement, infer_ms=share + own, model_digest=digest))
        return judgements

    def _score_each(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored | Judgement]:
        try:
            return list(self.score(images, prepared))
        except (RuntimeError, ValueError, SightlineError) as error:  # torch raises RuntimeError
            if len(images) == 1:
                logger.exception("the model failed on a frame")
                return [_failure(error)]
            logger.warning("a batch of %d failed, trying its frames one by one: %s", len(images), error)
        results: list[Scored | Judgement] = []
        for image, recipe in zip(images, prepared, strict=True):
            results.extend(self._score_each([image], [recipe]))
        return results

    def _judge(self, image: Image, prepared: Prepared, scored: Scored) -> Judgement:
        if scored.lacking is not None:
            return Judgement(Verdict.REVIEW, scored.lacking)
        if not math.isfinite(scored.score):
            return Judgement(Verdict.ERROR, f"the model gave {scored.score} as score for this frame")
        recipe = prepared.recipe
        verdict, reason = decide(scored.score, recipe.calibration, recipe.shots)
        judgement = Judgement(verdict, reason, scored.score)
        if verdict is Verdict.PASS or scored.anomaly_map is None:
            return judgement
        pixels = to_pixels(scored.anomaly_map, image.shape[1], image.shape[0])
        if not np.isfinite(pixels).all():
            return Judgement(Verdict.ERROR, "the model gave an anomaly map with values that are no numbers")
        mask, defects = self._segment(pixels, prepared, scored, certain=verdict is Verdict.FAIL)
        return replace(judgement, defects=defects, mask=mask if defects else None)

    def _segment(
        self, pixels: FloatMap, prepared: Prepared, scored: Scored, *, certain: bool
    ) -> tuple[NDArray[np.uint8], tuple[Defect, ...]]:
        calibration = prepared.recipe.calibration
        threshold = prepared.mask_threshold
        if calibration is not None and calibration.map_threshold is not None:
            threshold = calibration.map_threshold
        options = self._segmentation
        mask, found = regions(
            pixels,
            threshold,
            minimum_area=options.minimum_area,
            most=options.most_defects,
            outline=options.outline,
        )
        if not found and certain:
            # A verdict of FAIL without a place to look at helps nobody.
            highest = pixels.max()
            threshold = float(min(FALLBACK_FRACTION * highest, np.nextafter(highest, np.float32(-np.inf))))
            mask, found = regions(pixels, threshold, minimum_area=0.0, most=1)
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


def _failure(error: Exception) -> Judgement:
    return Judgement(Verdict.ERROR, f"the model failed on this frame: {error}")


def _label(prepared: Prepared, scored: Scored, region: NDArray[np.bool_]) -> str:
    """Name a region by the mean of the text-aligned patches that it covers."""
    if scored.patches is None:
        return "anomaly"
    height, width = scored.patches.shape[:2]
    weights = torch.nn.functional.adaptive_avg_pool2d(
        torch.from_numpy(region.astype(np.float32))[None, None], (height, width)
    )[0, 0].to(scored.patches)
    total = weights.sum()
    if float(total) <= 0.0:
        return "anomaly"
    mean = (scored.patches * weights[:, :, None]).sum(dim=(0, 1)) / total
    return prepared.label(mean) or "anomaly"
