"""The inspector: verdicts, masks and labels, and frames on which a model fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from agent.cabinet import generic_recipe
from agent.calibration import Calibration
from agent.decision import Verdict
from agent.errors import ModelError, RecipeError
from agent.frame import Image
from agent.inspector import Inspector, Segmentation
from agent.methods import Methods, build_method
from agent.methods.method import Prepared, Scored
from agent.methods.null import NullPrepared
from agent.recipe import Recipe
from tests.support.encoders import ColourEncoder

CALIBRATION = Calibration(0.5, 0.4, 16, 0.01, "test", map_threshold=0.5)
DIMENSIONS = ColourEncoder().dimensions


@dataclass(frozen=True)
class PlainPrepared:
    recipe: Recipe
    mask_threshold: float = 0.7
    pool_fraction: float = 0.0

    def leaving_out(self, reference: int) -> PlainPrepared:
        return self

    def belonging_to(self, recipe: Recipe) -> PlainPrepared:
        return replace(self, recipe=recipe)

    def label(self, region: torch.Tensor) -> str | None:
        return "first" if float(region[0]) > float(region[1]) else None


class BrightestPixel:
    """A method whose map is the picture's green on a grid of 8 x 8, and whose score is the red of the first
    pixel in hundredths. A blue first pixel makes it fail in the way that ``failure`` says.
    """

    digest = "plain"
    fingerprint = "plain"

    def __init__(self, failure: Exception | float | None = None, maps: bool = True) -> None:
        self.failure = failure
        self.maps = maps
        self.batches: list[int] = []

    def prepare(self, recipe: Recipe, references: Sequence[Image]) -> PlainPrepared:
        return PlainPrepared(recipe)

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        self.batches.append(len(images))
        return [self._score(image) for image in images]

    def _score(self, image: Image) -> Scored:
        score = float(image[0, 0, 0]) / 100.0
        if image[0, 0, 2] == 255:
            if isinstance(self.failure, Exception):
                raise self.failure
            score = float("nan") if self.failure is None else self.failure
        height, width = image.shape[0] // 8, image.shape[1] // 8
        green = torch.from_numpy(image[..., 1].astype(np.float32) / 255.0)
        grid = green.reshape(8, height, 8, width).mean(dim=(1, 3))
        patches = torch.zeros(4, 4, DIMENSIONS)
        patches[:, :2, 0], patches[:, 2:, 1] = 1.0, 1.0
        return Scored(score, grid if self.maps else None, patches if self.maps else None)


def picture(score: float, *, broken: bool = False, spot: tuple[int, int, int, int] | None = None) -> Image:
    image = np.zeros((64, 96, 3), np.uint8)
    if spot is not None:
        x, y, width, height = spot
        image[y : y + height, x : x + width, 1] = 255
    image[0, 0, 0] = round(score * 100)
    image[0, 0, 2] = 255 if broken else 0
    return image


def prepared(calibration: Calibration | None = CALIBRATION) -> PlainPrepared:
    return PlainPrepared(replace(generic_recipe("A", "plain"), calibration=calibration))


def inspect(images: Sequence[Image], method: BrightestPixel | None = None) -> list[Verdict]:
    judgements = Inspector(method or BrightestPixel()).inspect(images, [prepared() for _ in images])
    return [judgement.verdict for judgement in judgements]


def test_scores_become_verdicts() -> None:
    assert inspect([picture(0.1), picture(0.45), picture(0.9)]) == [
        Verdict.PASS,
        Verdict.REVIEW,
        Verdict.FAIL,
    ]


def test_without_calibration_everything_is_for_a_person() -> None:
    judgement = Inspector(BrightestPixel()).inspect([picture(2.0)], [prepared(None)])[0]
    assert judgement.verdict is Verdict.REVIEW
    assert judgement.score == pytest.approx(2.0)
    assert "8 more good parts" in judgement.reason


def test_a_failed_part_has_a_mask_with_box_area_score_and_label() -> None:
    image = picture(0.9, spot=(60, 16, 24, 16))
    judgement = Inspector(BrightestPixel()).inspect([image], [prepared()])[0]
    assert judgement.mask is not None
    assert judgement.mask.shape == (64, 96)
    assert judgement.mask.dtype == np.uint8
    defect = judgement.defects[0]
    assert (len(judgement.defects), defect.index, defect.label) == (1, 1, "anomaly")
    x, y, width, height = defect.bbox
    assert abs(x - 60) <= 6
    assert abs(y - 16) <= 4
    assert abs(width - 24) <= 12
    assert abs(height - 16) <= 8
    assert defect.area_px == int((judgement.mask == 1).sum())
    assert defect.area_fraction == pytest.approx(defect.area_px / (64 * 96))
    assert defect.score > 0.5


def test_regions_are_named_by_the_patches_that_they_cover() -> None:
    image = picture(0.9, spot=(0, 8, 24, 16))
    image[40:56, 72:96, 1] = 200
    judgement = Inspector(BrightestPixel()).inspect([image], [prepared()])[0]
    assert [(d.index, d.label) for d in judgement.defects] == [(1, "first"), (2, "anomaly")]
    assert sorted(np.unique(judgement.mask if judgement.mask is not None else [])) == [0, 1, 2]


def test_a_good_part_has_no_mask_even_where_its_map_is_bright() -> None:
    judgement = Inspector(BrightestPixel()).inspect([picture(0.1, spot=(8, 8, 32, 32))], [prepared()])[0]
    assert (judgement.verdict, judgement.mask, judgement.defects) == (Verdict.PASS, None, ())


@pytest.mark.parametrize("level", [0, 1, 60, 120])
def test_a_failed_part_always_has_a_mask(level: int) -> None:
    """Also where no pixel of the map is above its threshold, and where all are equal."""
    image = picture(0.9)
    image[..., 1] = level
    judgement = Inspector(BrightestPixel()).inspect([image], [prepared()])[0]
    assert judgement.verdict is Verdict.FAIL
    assert judgement.mask is not None
    assert len(judgement.defects) == 1
    assert int(judgement.mask.max()) == 1


def test_a_speck_alone_is_outlined_on_a_failed_part() -> None:
    image = picture(0.9, spot=(8, 8, 4, 4))
    inspector = Inspector(BrightestPixel(), Segmentation(minimum_area=0.5))
    judgement = inspector.inspect([image], [prepared()])[0]
    assert len(judgement.defects) == 1


def test_a_part_for_review_is_outlined_only_where_the_map_says_so() -> None:
    plain, spotted = Inspector(BrightestPixel()).inspect(
        [picture(0.45), picture(0.45, spot=(8, 8, 32, 32))], [prepared(), prepared()]
    )
    assert (plain.verdict, plain.mask, plain.defects) == (Verdict.REVIEW, None, ())
    assert spotted.verdict is Verdict.REVIEW
    assert len(spotted.defects) == 1


def test_the_map_threshold_is_the_calibrations_or_the_methods() -> None:
    image = picture(0.9)
    image[8:40, 0:24, 1] = 150  # 0.59: above the calibration's 0.5, below the method's 0.7
    image[8:40, 60:84, 1] = 255
    bare = replace(CALIBRATION, map_threshold=None)
    own, default = Inspector(BrightestPixel()).inspect([image, image], [prepared(), prepared(bare)])
    assert (len(own.defects), len(default.defects)) == (2, 1)


def test_there_are_at_most_so_many_defects() -> None:
    image = picture(0.9)
    for x in range(0, 96, 24):
        for y in range(0, 64, 16):
            image[y : y + 8, x : x + 12, 1] = 255
    inspector = Inspector(BrightestPixel(), Segmentation(most_defects=3))
    judgement = inspector.inspect([image], [prepared()])[0]
    assert [d.index for d in judgement.defects] == [1, 2, 3]


def test_a_method_without_maps_gives_verdicts_without_masks() -> None:
    judgement = Inspector(BrightestPixel(maps=False)).inspect([picture(0.9)], [prepared()])[0]
    assert (judgement.verdict, judgement.mask) == (Verdict.FAIL, None)


@pytest.mark.parametrize("score", [None, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_an_error_of_that_frame_alone(score: float | None) -> None:
    images = [picture(0.1), picture(0.1, broken=True), picture(0.9)]
    judgements = Inspector(BrightestPixel(score)).inspect(images, [prepared()] * 3)
    assert [j.verdict for j in judgements] == [Verdict.PASS, Verdict.ERROR, Verdict.FAIL]
    assert judgements[1].score is None
    assert "as score" in judgements[1].reason


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("out of memory"), ModelError("no kernel"), ValueError("shape")],
)
def test_a_model_that_raises_on_one_frame_costs_that_frame_alone(failure: Exception) -> None:
    method = BrightestPixel(failure)
    images = [picture(0.1), picture(0.1, broken=True), picture(0.9), picture(0.45)]
    judgements = Inspector(method).inspect(images, [prepared()] * 4)
    expected = [Verdict.PASS, Verdict.ERROR, Verdict.FAIL, Verdict.REVIEW]
    assert [j.verdict for j in judgements] == expected
    assert judgements[1].reason == f"the model failed on this frame: {failure}"
    assert method.batches == [4, 1, 1, 1, 1]


class NotANumberMap(BrightestPixel):
    def _score(self, image: Image) -> Scored:
        scored = super()._score(image)
        assert scored.anomaly_map is not None
        return replace(scored, anomaly_map=scored.anomaly_map * math.nan)


def test_a_map_that_is_no_number_is_an_error() -> None:
    judgement = Inspector(NotANumberMap()).inspect([picture(0.9)], [prepared()])[0]
    assert (judgement.verdict, judgement.mask) == (Verdict.ERROR, None)


def test_no_frames_no_judgements() -> None:
    assert Inspector(BrightestPixel()).inspect([], []) == []


def test_each_frame_is_told_its_share_of_the_time() -> None:
    judgements = Inspector(BrightestPixel()).inspect([picture(0.1)] * 3, [prepared()] * 3)
    assert all(judgement.infer_ms > 0.0 for judgement in judgements)


def of_method(name: str) -> PlainPrepared:
    return PlainPrepared(replace(generic_recipe("A", name), calibration=CALIBRATION))


def test_frames_of_one_batch_are_scored_by_the_methods_of_their_recipes() -> None:
    built = {"first": BrightestPixel(), "second": BrightestPixel(maps=False)}
    built["second"].digest = "other weights"
    inspector = Inspector(Methods("first", built.__getitem__))
    recipes = [of_method(name) for name in ("first", "second", "first")]
    judgements = inspector.inspect([picture(score) for score in (0.1, 0.9, 0.8)], recipes)
    assert [judgement.score for judgement in judgements] == [0.1, 0.9, 0.8]
    assert [judgement.model_digest for judgement in judgements] == ["plain", "other weights", "plain"]
    assert (built["first"].batches, built["second"].batches) == ([2], [1])


def test_a_method_that_fails_leaves_the_frames_of_the_other_alone() -> None:
    built = {"first": BrightestPixel(), "second": BrightestPixel(ModelError("out of memory"))}
    inspector = Inspector(Methods("first", built.__getitem__))
    judgements = inspector.inspect(
        [picture(0.1), picture(0.9, broken=True)], [of_method("first"), of_method("second")]
    )
    assert [judgement.verdict for judgement in judgements] == [Verdict.PASS, Verdict.ERROR]


def test_a_recipe_is_prepared_by_its_own_method() -> None:
    inspector = Inspector(Methods("null", build_method))
    assert isinstance(inspector.prepare(generic_recipe("A", "null"), ()), NullPrepared)
    with pytest.raises(RecipeError, match="there is no method 'guess'"):
        inspector.prepare(generic_recipe("A", "guess"), ())
