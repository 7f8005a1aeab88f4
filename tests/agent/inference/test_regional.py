"""Regions in scoring: blind to what is ignored, as sharp as before where a recipe inspects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Recipe, Reference
from agent.domain.regions import EVERYWHERE, Regions, rectangle
from agent.domain.verdict import Verdict
from agent.enrollment.enroll import enroll
from agent.enrollment.selection import SelectionPolicy
from agent.inference.inspector import Inspector
from agent.methods import build_method
from agent.methods.fade import Fade
from agent.methods.maps import pool_map
from agent.methods.prepared import Method, Scored
from tests.support.detectors import FillingSegmenter, WrittenDetector
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS
from tests.support.images import part, spotted

CLOCK = (0.0, 0.0, 0.5, 0.125)
IGNORED = Regions(ignore=(rectangle(*CLOCK),))
SHOTS = 10


def method(name: str) -> Method:
    if name == "fade":
        return Fade(ColourEncoder(), defaults=PARAMETERS)
    parameters: Mapping[str, int] = {"size": 64} if name == "anomaly-dino" else {}
    detector = WrittenDetector({"defect": [((4.0, 2.0, 20.0, 6.0), 0.7), ((40.0, 16.0, 56.0, 32.0), 0.4)]})
    backbone = ColourEncoder()
    return build_method(name, backbone, backbone, detector, FillingSegmenter(), parameters=parameters)


def recipe(regions: Regions, shots: int = SHOTS, name: str = "fade") -> Recipe:
    references = tuple(Reference(f"{i:064x}", f"{i}.png", f"{i}.png") for i in range(shots))
    words = compositional_ensemble("part")
    return Recipe("A", "part", words, name, references=references, regions=regions)


def with_clock(image: Image, seed: int) -> Image:
    """Digits that no other image has, inside of ``CLOCK``."""
    height, width = image.shape[:2]
    clocked = image.copy()
    area = clocked[1 : height // 8 - 1, 1 : width // 2 - 1]
    area[...] = np.random.default_rng(seed).integers(0, 2, (*area.shape[:2], 1), dtype=np.uint8) * 255
    return clocked


def references() -> list[Image]:
    return [part(seed) for seed in range(SHOTS)]


def score(one: Method, regions: Regions, *images: Image, name: str = "fade") -> list[Scored]:
    inspector = Inspector(one)
    prepared = inspector.prepare(recipe(regions, name=name), references())
    return inspector.score(images, [prepared] * len(images))


@pytest.mark.parametrize("name", ["fade", "anomaly-dino", "iap-as"])
def test_what_is_ignored_changes_nothing_to_the_last_bit(name: str) -> None:
    plain, clocked = score(method(name), IGNORED, spotted(50), with_clock(spotted(50), 1), name=name)
    assert clocked.score == plain.score
    assert plain.anomaly_map is not None
    assert clocked.anomaly_map is not None
    assert torch.equal(clocked.anomaly_map, plain.anomaly_map)
    ignored = torch.from_numpy(~IGNORED.cells(*plain.anomaly_map.shape))
    assert (plain.anomaly_map[ignored] == plain.anomaly_map.min()).all()


@pytest.mark.parametrize("name", ["fade", "anomaly-dino"])
def test_a_defect_elsewhere_scores_as_without_regions(name: str) -> None:
    one = method(name)
    (whole,) = score(one, EVERYWHERE, spotted(50), name=name)
    (seen,) = score(one, IGNORED, spotted(50), name=name)
    assert seen.score == pytest.approx(whole.score, rel=0.05)


def test_a_box_in_an_ignored_region_does_not_score() -> None:
    (whole,) = score(method("iap-as"), EVERYWHERE, part(50), name="iap-as")
    (seen,) = score(method("iap-as"), IGNORED, part(50), name="iap-as")
    assert whole.score == pytest.approx(0.7)
    assert seen.score == pytest.approx(0.4)


def test_a_recipe_without_regions_scores_bit_for_bit_as_its_method() -> None:
    one, image = method("fade"), spotted(50)
    plain = one.score([image], [one.prepare(recipe(EVERYWHERE), references())])[0]
    inspector = Inspector(one)
    prepared = [inspector.prepare(recipe(regions), references()) for regions in (EVERYWHERE, IGNORED)]
    found = inspector.score([image, image], prepared)[0]
    assert found.score == plain.score
    assert plain.anomaly_map is not None
    assert found.anomaly_map is not None
    assert torch.equal(found.anomaly_map, plain.anomaly_map)
    assert inspector.fingerprint(recipe(EVERYWHERE)) == one.fingerprint
    assert inspector.fingerprint(recipe(IGNORED)) != one.fingerprint


def test_false_alarms_at_a_burnt_in_clock_end_with_an_ignored_region() -> None:
    """References without a clock, frames with one: the verdict is about the part again."""
    good = [with_clock(part(seed), seed) for seed in range(100, 112)]
    bad = [with_clock(spotted(seed), seed) for seed in range(100, 112)]
    inspector = Inspector(method("fade"))

    def failed(regions: Regions, images: list[Image]) -> int:
        enrolled = enroll(inspector, recipe(regions), references(), policy=CalibrationPolicy())
        results = inspector.inspect(images, [enrolled.prepared] * len(images))
        assert not any(
            result.mask is not None and result.mask[~regions.mask(*result.mask.shape)].any()
            for result in results
        )
        return sum(result.verdict is Verdict.FAIL for result in results)

    assert (failed(EVERYWHERE, good), failed(EVERYWHERE, bad)) == (12, 12)
    assert failed(IGNORED, good) <= 1
    assert failed(IGNORED, bad) == 12


def test_boxes_and_masks_lie_where_the_defect_is_in_the_whole_frame() -> None:
    regions = Regions(inspect=(rectangle(0.5, 0.125, 0.5, 0.5),))
    inspector = Inspector(method("fade"))
    enrolled = enroll(inspector, recipe(regions), references(), policy=CalibrationPolicy())
    (result,) = inspector.inspect([spotted(50)], [enrolled.prepared])
    assert result.verdict is Verdict.FAIL
    assert result.mask is not None
    assert result.mask.shape == (64, 64)
    assert not result.mask[~regions.mask(64, 64)].any()
    x, y, width, height = result.defects[0].bbox
    assert abs(x - 40) <= 4
    assert abs(y - 16) <= 4
    assert abs(width - 16) <= 8
    assert abs(height - 16) <= 8
    assert result.defects[0].area_fraction == pytest.approx((result.mask == 1).sum() / 64**2)


def test_a_map_is_summed_up_over_inspected_cells_alone() -> None:
    """Two places in opposite corners: the rest, a fiftieth of which would be averaged, does not count."""
    regions = Regions(inspect=(rectangle(0, 0, 0.25, 0.25), rectangle(0.75, 0.75, 0.25, 0.25)))
    values = torch.zeros(1, 16, 16)
    values[0, 0, 0] = 1.0
    assert float(pool_map(values, 1 / 32, [regions])) == 1.0
    assert float(pool_map(values, 1 / 32)) == pytest.approx(1 / 8)
    values[0, 8, 8] = 5.0  # filled: to words it may look like anything
    assert float(pool_map(values, 0.0, [regions])) == 1.0
    both = pool_map(torch.cat([values, values]), 1 / 32, [regions, EVERYWHERE])
    assert both[1] == pool_map(values, 1 / 32)[0]


def test_references_are_scored_against_each_other_by_what_is_inspected() -> None:
    """Their clocks neither raise the threshold nor hide that two show the same part."""
    clocked = [with_clock(part(seed), seed) for seed in (*range(SHOTS - 1), 0)]
    clocked[-1] = with_clock(part(0), 77)
    inspector, policy = Inspector(method("fade")), CalibrationPolicy()
    selection = SelectionPolicy(exclude_outliers=False)
    whole = enroll(inspector, recipe(EVERYWHERE), clocked, policy=policy, selection=selection)
    seen = enroll(inspector, recipe(IGNORED), clocked, policy=policy, selection=selection)
    bare = [part(seed) for seed in range(SHOTS - 1)]
    plain = enroll(inspector, recipe(IGNORED, SHOTS - 1), bare, policy=policy)
    assert whole.recipe.calibration is not None
    assert seen.recipe.calibration is not None
    assert plain.recipe.calibration is not None
    assert seen.recipe.calibration.threshold == plain.recipe.calibration.threshold
    assert whole.recipe.calibration.threshold > seen.recipe.calibration.threshold
    assert seen.selection is not None
    assert [one.original for one in seen.selection.duplicates] == ["0.png"]


def test_references_are_kept_large_enough_for_the_inspected_part() -> None:
    inspector = Inspector(method("fade"))
    whole = inspector.reference_side(recipe(EVERYWHERE))
    assert whole is not None
    strip = Regions(inspect=(rectangle(0.1, 0.5, 0.8, 0.25),))
    assert inspector.reference_side(recipe(strip)) == 4 * whole


def test_a_frame_too_small_for_its_regions_says_so() -> None:
    speck = Regions(inspect=(rectangle(0.5, 0.5, 0.01, 0.01),))
    inspector = Inspector(method("fade"))
    prepared = inspector.prepare(recipe(speck, 0), ())
    (result,) = inspector.inspect([part(0, side=16)], [prepared])
    assert result.verdict is Verdict.ERROR
    assert "leave no pixel of an image of 16 x 16" in result.reason
    with pytest.raises(RecipeError, match="no pixel"):
        inspector.prepare(replace(recipe(speck, 1)), [part(0, side=16)])
