"""Inspector: verdicts, masks and labels, and frames on which a model fails."""

from __future__ import annotations

import math
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from agent.domain.calibration import Calibration
from agent.domain.errors import ModelError, RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, template_recipe
from agent.domain.verdict import Verdict
from agent.inference.batch_limit import AGAIN_AFTER
from agent.inference.inspector import Inspector, Segmentation
from agent.methods import MethodRegistry, build_method
from agent.methods.null import NullPrepared
from agent.methods.prepared import Groups, Prepared, Scored
from tests.support.encoders import ColourEncoder

CALIBRATION = Calibration(0.5, 0.4, 16, 0.01, "test", map_threshold=0.5)
DIMENSIONS = ColourEncoder().dimensions


@dataclass(frozen=True)
class PlainPrepared:
    recipe: Recipe
    mask_threshold: float = 0.7
    pool_fraction: float = 0.0
    complete: bool = True

    def without(self, references: Collection[int]) -> PlainPrepared:
        return self

    def without_groups(self) -> PlainPrepared:
        return self

    def with_recipe(self, recipe: Recipe) -> PlainPrepared:
        return replace(self, recipe=recipe)

    def lead(self, region: torch.Tensor) -> float:
        return abs(float(region[0]) - float(region[1]))

    def label(self, region: torch.Tensor) -> str | None:
        return "first" if float(region[0]) > float(region[1]) else None


class BrightestPixel:
    """A method whose map is the image's green on a grid of 8 x 8, and whose score is the red of the first
    pixel in hundredths. A blue first pixel makes it fail in the way that ``failure`` says.
    """

    digest = "plain"
    fingerprint = "plain"

    def __init__(self, failure: Exception | float | None = None, maps: bool = True) -> None:
        self.failure = failure
        self.maps = maps
        self.batches: list[int] = []

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> PlainPrepared:
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


def drawn(score: float, *, broken: bool = False, spot: tuple[int, int, int, int] | None = None) -> Image:
    image = np.zeros((64, 96, 3), np.uint8)
    if spot is not None:
        x, y, width, height = spot
        image[y : y + height, x : x + width, 1] = 255
    image[0, 0, 0] = round(score * 100)
    image[0, 0, 2] = 255 if broken else 0
    return image


def prepared(calibration: Calibration | None = CALIBRATION) -> PlainPrepared:
    return PlainPrepared(replace(template_recipe("A", "plain"), calibration=calibration))


def inspect(images: Sequence[Image], method: BrightestPixel | None = None) -> list[Verdict]:
    results = Inspector(method or BrightestPixel()).inspect(images, [prepared() for _ in images])
    return [result.verdict for result in results]


def test_scores_become_verdicts() -> None:
    assert inspect([drawn(0.1), drawn(0.45), drawn(0.9)]) == [
        Verdict.PASS,
        Verdict.REVIEW,
        Verdict.FAIL,
    ]


def test_without_calibration_everything_is_for_a_person() -> None:
    result = Inspector(BrightestPixel()).inspect([drawn(2.0)], [prepared(None)])[0]
    assert result.verdict is Verdict.REVIEW
    assert result.score == pytest.approx(2.0)
    assert "8 more good parts" in result.reason


def test_a_failed_part_has_a_mask_with_box_area_score_and_label() -> None:
    image = drawn(0.9, spot=(60, 16, 24, 16))
    result = Inspector(BrightestPixel()).inspect([image], [prepared()])[0]
    assert result.mask is not None
    assert result.mask.shape == (64, 96)
    assert result.mask.dtype == np.uint8
    defect = result.defects[0]
    assert (len(result.defects), defect.index, defect.label) == (1, 1, "anomaly")
    x, y, width, height = defect.bbox
    assert abs(x - 60) <= 6
    assert abs(y - 16) <= 4
    assert abs(width - 24) <= 12
    assert abs(height - 16) <= 8
    assert defect.area_px == int((result.mask == 1).sum())
    assert defect.area_fraction == pytest.approx(defect.area_px / (64 * 96))
    assert defect.score > 0.5


def test_regions_are_named_by_the_patches_that_they_cover() -> None:
    image = drawn(0.9, spot=(0, 8, 24, 16))
    image[40:56, 72:96, 1] = 200
    named = prepared(replace(CALIBRATION, label_margin=0.5))
    result = Inspector(BrightestPixel()).inspect([image], [named])[0]
    assert [(d.index, d.label) for d in result.defects] == [(1, "first"), (2, "anomaly")]
    assert sorted(np.unique(result.mask if result.mask is not None else [])) == [0, 1, 2]


@pytest.mark.parametrize("margin", [None, 1.5])
def test_a_name_that_does_not_lead_by_the_calibrated_margin_is_not_given(margin: float | None) -> None:
    image = drawn(0.9, spot=(0, 8, 24, 16))
    held_back = prepared(replace(CALIBRATION, label_margin=margin))
    result = Inspector(BrightestPixel()).inspect([image], [held_back])[0]
    assert [defect.label for defect in result.defects] == ["anomaly"]


def test_a_good_part_has_no_mask_even_where_its_map_is_bright() -> None:
    result = Inspector(BrightestPixel()).inspect([drawn(0.1, spot=(8, 8, 32, 32))], [prepared()])[0]
    assert (result.verdict, result.mask, result.defects) == (Verdict.PASS, None, ())


@pytest.mark.parametrize("level", [0, 1, 60, 120])
def test_a_failed_part_always_has_a_mask(level: int) -> None:
    """Also where no pixel of the map is above its threshold, and where all are equal."""
    image = drawn(0.9)
    image[..., 1] = level
    result = Inspector(BrightestPixel()).inspect([image], [prepared()])[0]
    assert result.verdict is Verdict.FAIL
    assert result.mask is not None
    assert len(result.defects) == 1
    assert int(result.mask.max()) == 1


def test_a_speck_alone_is_outlined_on_a_failed_part() -> None:
    image = drawn(0.9, spot=(8, 8, 4, 4))
    inspector = Inspector(BrightestPixel(), Segmentation(minimum_area=0.5))
    result = inspector.inspect([image], [prepared()])[0]
    assert len(result.defects) == 1


def test_a_part_for_review_is_outlined_where_the_map_says_so() -> None:
    plain, spotted = Inspector(BrightestPixel()).inspect(
        [drawn(0.45), drawn(0.45, spot=(8, 8, 32, 32))], [prepared(), prepared()]
    )
    assert (plain.verdict, plain.mask, plain.defects) == (Verdict.REVIEW, None, ())
    assert spotted.verdict is Verdict.REVIEW
    assert len(spotted.defects) == 1


def test_a_part_for_review_is_outlined_where_it_comes_closest() -> None:
    image = drawn(0.45)
    image[16:32, 60:84, 1] = 100  # 0.39, below the threshold of 0.5; elsewhere it is 0
    for calibration in (CALIBRATION, None):
        result = Inspector(BrightestPixel()).inspect([image], [prepared(calibration)])[0]
        assert result.verdict is Verdict.REVIEW
        assert result.mask is not None
        (closest,) = result.defects
        x, y, width, height = closest.bbox
        assert 54 <= x < x + width <= 90
        assert 12 <= y < y + height <= 36
        assert closest.score < 0.5
        assert result.heat is not None
        assert result.heat.threshold == (0.7 if calibration is None else 0.5)
        assert float(result.heat.values.max()) == pytest.approx(closest.score, abs=0.05)


def test_heat_maps_of_large_frames_are_reduced() -> None:
    image = np.zeros((2400, 3200, 3), np.uint8)
    image[0, 0, 0], image[800:1200, 800:1600, 1] = 90, 255
    result = Inspector(BrightestPixel()).inspect([image], [prepared()])[0]
    assert result.heat is not None
    assert result.heat.values.shape == (480, 640)
    assert np.unravel_index(int(result.heat.values.argmax()), (480, 640))[0] in range(140, 260)


def test_the_map_threshold_is_the_calibrations_or_the_methods() -> None:
    image = drawn(0.9)
    image[8:40, 0:24, 1] = 150  # 0.59: above the calibration's 0.5, below the method's 0.7
    image[8:40, 60:84, 1] = 255
    bare = replace(CALIBRATION, map_threshold=None)
    own, default = Inspector(BrightestPixel()).inspect([image, image], [prepared(), prepared(bare)])
    assert (len(own.defects), len(default.defects)) == (2, 1)


def test_there_are_at_most_so_many_defects() -> None:
    image = drawn(0.9)
    for x in range(0, 96, 24):
        for y in range(0, 64, 16):
            image[y : y + 8, x : x + 12, 1] = 255
    inspector = Inspector(BrightestPixel(), Segmentation(most_defects=3))
    result = inspector.inspect([image], [prepared()])[0]
    assert [d.index for d in result.defects] == [1, 2, 3]


def test_a_method_without_maps_gives_verdicts_without_masks() -> None:
    result = Inspector(BrightestPixel(maps=False)).inspect([drawn(0.9)], [prepared()])[0]
    assert (result.verdict, result.mask) == (Verdict.FAIL, None)


@pytest.mark.parametrize("score", [None, math.inf, -math.inf])
def test_a_score_that_is_not_a_number_is_an_error_of_that_frame_alone(score: float | None) -> None:
    images = [drawn(0.1), drawn(0.1, broken=True), drawn(0.9)]
    results = Inspector(BrightestPixel(score)).inspect(images, [prepared()] * 3)
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.ERROR, Verdict.FAIL]
    assert results[1].score is None
    assert "as score" in results[1].reason


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("no engine"), ModelError("no kernel"), ValueError("shape")],
)
def test_a_model_that_raises_on_one_frame_costs_that_frame_alone(failure: Exception) -> None:
    method = BrightestPixel(failure)
    images = [drawn(0.1), drawn(0.1, broken=True), drawn(0.9), drawn(0.45)]
    results = Inspector(method).inspect(images, [prepared()] * 4)
    expected = [Verdict.PASS, Verdict.ERROR, Verdict.FAIL, Verdict.REVIEW]
    assert [one.verdict for one in results] == expected
    assert results[1].reason == f"the model failed on this frame: {failure}"
    assert method.batches == [4, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (KeyError("layer4"), "KeyError: 'layer4'"),
        (TypeError("no len()"), "TypeError: no len()"),
        (AssertionError("shapes"), "AssertionError: shapes"),
        (IndexError("17"), "IndexError: 17"),
    ],
)
def test_a_slip_in_a_model_costs_its_frame_alone_and_is_named(failure: Exception, sentence: str) -> None:
    inspector = Inspector(BrightestPixel(failure))
    images = [drawn(0.1), drawn(0.1, broken=True), drawn(0.9)]
    results = inspector.inspect(images, [prepared()] * 3)
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.ERROR, Verdict.FAIL]
    assert results[1].reason == f"the model failed on this frame: {sentence}"
    assert inspector.counters.get("model_failures") == 1


class Miscounting(BrightestPixel):
    """Leaves a broken frame out of its answer, or answers twice."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        scored = super().score(images, prepared)
        return [
            one
            for one, image in zip(scored, images, strict=True)
            for _ in range(self.times if image[0, 0, 2] == 255 else 1)
        ]


@pytest.mark.parametrize("times", [0, 2])
def test_a_method_that_gives_too_few_or_too_many_results_mixes_up_no_frames(times: int) -> None:
    images = [drawn(0.1), drawn(0.1, broken=True), drawn(0.9)]
    results = Inspector(Miscounting(times)).inspect(images, [prepared()] * 3)
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.ERROR, Verdict.FAIL]
    assert f"{times} results for 1 frames" in results[1].reason


class Shapeless(BrightestPixel):
    """Gives something that is not a map."""

    def _score(self, image: Image) -> Scored:
        scored = super()._score(image)
        if image[0, 0, 2] == 255:
            return replace(scored, anomaly_map=[[0.5]])  # type: ignore[arg-type] # that is the point
        return scored


def test_a_map_of_another_shape_costs_its_frame_alone() -> None:
    images = [drawn(0.1), drawn(0.9, broken=True), drawn(0.9)]
    results = Inspector(Shapeless(0.9)).inspect(images, [prepared()] * 3)
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.ERROR, Verdict.FAIL]


# ---------------------------------------------------------------------------------------- memory


class Narrow(BrightestPixel):
    """Has memory for so many frames at once, and for no broken frame at all."""

    def __init__(self, fits: int, error: Exception | None = None) -> None:
        super().__init__(failure=0.1)
        self.fits = fits
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        if len(images) > self.fits or any(image[0, 0, 2] == 255 for image in images):
            self.batches.append(len(images))
            raise self.error
        return super().score(images, prepared)


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_where_memory_does_not_suffice_the_batch_is_halved(error: Exception) -> None:
    method = Narrow(2, error)
    inspector = Inspector(method)
    scores = [0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.45]
    results = inspector.inspect([drawn(score) for score in scores], [prepared()] * 8)
    assert [one.score for one in results] == pytest.approx(scores)
    assert method.batches == [8, 4, 2, 2, 2, 2]
    assert inspector.counters.get("out_of_memory") == 2
    assert inspector.counters.get("model_failures") == 0


def test_a_size_that_fits_is_remembered_and_a_larger_one_tried_again_later() -> None:
    method = Narrow(2)
    inspector = Inspector(method)
    four = [drawn(0.1)] * 4, [prepared()] * 4
    inspector.inspect(*four)
    assert method.batches == [4, 2, 2]
    for _ in range(AGAIN_AFTER // 2 - 1):
        inspector.inspect(*four)
    assert set(method.batches[3:]) == {2}, "not each batch fails again"
    method.fits = 8
    inspector.inspect(*four)
    assert method.batches[-1] == 4, "another process may have let go of its memory"


@pytest.mark.slow
def test_a_frame_for_which_memory_does_not_suffice_alone_is_an_error_and_halves_no_other_batch() -> None:
    method = Narrow(8)
    inspector = Inspector(method)
    images = [drawn(0.1), drawn(0.9), drawn(0.1, broken=True), drawn(0.9)]
    results = inspector.inspect(images, [prepared()] * 4)
    assert [one.verdict for one in results] == [Verdict.PASS, Verdict.FAIL, Verdict.ERROR, Verdict.FAIL]
    assert "memory is not enough for this frame even alone" in results[2].reason
    method.batches.clear()
    inspector.inspect([drawn(0.1)] * 8, [prepared()] * 8)
    assert method.batches == [8]


@pytest.mark.slow
def test_memory_that_a_failed_pass_held_is_let_go_before_the_next() -> None:
    held: list[weakref.ref[np.ndarray]] = []

    class Holding(Narrow):
        def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
            assert not any(one() is not None for one in held)
            ballast = np.zeros(8)
            held.append(weakref.ref(ballast))
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().score(images, prepared)

    verdicts = [one.verdict for one in Inspector(Holding(1)).inspect([drawn(0.1)] * 4, [prepared()] * 4)]
    assert verdicts == [Verdict.PASS] * 4


@pytest.mark.slow
def test_enrollment_scores_in_smaller_batches_too_and_fails_for_a_frame_that_fits_nowhere() -> None:
    inspector = Inspector(Narrow(3))
    assert len(inspector.score([drawn(0.1)] * 8, [prepared()] * 8)) == 8
    with pytest.raises(torch.OutOfMemoryError):
        inspector.score([drawn(0.1, broken=True)], [prepared()])


def test_a_device_that_is_lost_is_not_an_error_of_a_frame() -> None:
    method = BrightestPixel(RuntimeError("CUDA error: device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        Inspector(method).inspect([drawn(0.1), drawn(0.1, broken=True)], [prepared()] * 2)


def test_a_slip_while_a_recipe_is_prepared_is_a_matter_of_that_recipe() -> None:
    class Slipping(BrightestPixel):
        def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> PlainPrepared:
            raise KeyError("blocks.11")

    with pytest.raises(ModelError, match=r"the method failed on this recipe: KeyError: 'blocks.11'"):
        Inspector(Slipping()).prepare(template_recipe("A", "plain"), ())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_whose_memory_is_short_is_survived() -> None:
    class OnTheGpu(BrightestPixel):
        def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
            ballast = torch.empty(
                len(images), 256, 2**20, device="cuda", dtype=torch.uint8
            )  # 256 MiB a frame
            return super().score(images, prepared)[: len(ballast)]

    free, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.2 * 2**30 / total))
    try:
        method = OnTheGpu()
        results = Inspector(method).inspect([drawn(0.1)] * 16, [prepared()] * 16)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert free > 2**31
    assert [one.verdict for one in results] == [Verdict.PASS] * 16
    assert set(method.batches) == {4}


class NotANumberMap(BrightestPixel):
    def _score(self, image: Image) -> Scored:
        scored = super()._score(image)
        assert scored.anomaly_map is not None
        return replace(scored, anomaly_map=scored.anomaly_map * math.nan)


def test_a_map_that_is_not_a_number_is_an_error() -> None:
    result = Inspector(NotANumberMap()).inspect([drawn(0.9)], [prepared()])[0]
    assert (result.verdict, result.mask) == (Verdict.ERROR, None)


def test_no_frames_no_results() -> None:
    assert Inspector(BrightestPixel()).inspect([], []) == []


def test_each_result_has_its_share_of_the_time() -> None:
    results = Inspector(BrightestPixel()).inspect([drawn(0.1)] * 3, [prepared()] * 3)
    assert all(result.infer_ms > 0.0 for result in results)


def of_method(name: str) -> PlainPrepared:
    return PlainPrepared(replace(template_recipe("A", name), calibration=CALIBRATION))


def test_frames_of_one_batch_are_scored_by_the_methods_of_their_recipes() -> None:
    built = {"first": BrightestPixel(), "second": BrightestPixel(maps=False)}
    built["second"].digest = "other weights"
    inspector = Inspector(MethodRegistry("first", built.__getitem__))
    recipes = [of_method(name) for name in ("first", "second", "first")]
    results = inspector.inspect([drawn(score) for score in (0.1, 0.9, 0.8)], recipes)
    assert [result.score for result in results] == [0.1, 0.9, 0.8]
    assert [result.model_digest for result in results] == ["plain", "other weights", "plain"]
    assert (built["first"].batches, built["second"].batches) == ([2], [1])


def test_a_method_that_fails_leaves_the_frames_of_the_other_alone() -> None:
    built = {"first": BrightestPixel(), "second": BrightestPixel(ModelError("out of memory"))}
    inspector = Inspector(MethodRegistry("first", built.__getitem__))
    results = inspector.inspect(
        [drawn(0.1), drawn(0.9, broken=True)], [of_method("first"), of_method("second")]
    )
    assert [result.verdict for result in results] == [Verdict.PASS, Verdict.ERROR]


def test_a_recipe_is_prepared_by_its_own_method() -> None:
    inspector = Inspector(MethodRegistry("null", build_method))
    assert isinstance(inspector.prepare(template_recipe("A", "null"), ()), NullPrepared)
    with pytest.raises(RecipeError, match="there is no method 'guess'"):
        inspector.prepare(template_recipe("A", "guess"), ())
