"""Enrollment: every reference is scored as if it had not been enrolled."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.domain.verdict import Verdict
from agent.enrollment.enroll import FOLDS, enroll
from agent.enrollment.progress import Progress
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS
from tests.support.images import part, spotted

POLICY = CalibrationPolicy(0.01)


class Steps(Progress):
    """Notes what each step did of its total."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}
        self._now: list[int] = []

    def step(self, what: str, total: int) -> None:
        self._now = self.steps[what] = [0, total]

    def advance(self) -> None:
        self._now[0] += 1


def recipe(shots: int) -> Recipe:
    references = tuple(Reference(f"{i:064x}", f"{i}.png", str(i)) for i in range(shots))
    return replace(template_recipe("A", "fade"), references=references)


def test_good_parts_become_a_recipe_that_separates_good_from_bad(inspector: Inspector) -> None:
    seen = Steps()
    images = [part(i) for i in range(10)]
    enrolled = enroll(inspector, recipe(10), images, policy=POLICY, progress=seen)
    calibration = enrolled.recipe.calibration
    assert calibration is not None
    assert calibration.samples == 10
    assert "leave-one-out of 10 references" in calibration.source
    assert calibration.map_threshold is not None
    assert enrolled.prepared.recipe is enrolled.recipe
    assert seen.steps == {
        "memorising references": [10, 10],
        "comparing each reference with the others": [10, 10],
    }
    results = inspector.inspect([part(50), spotted(51)], [enrolled.prepared] * 2)
    assert results[0].verdict is not Verdict.FAIL
    assert results[1].verdict is Verdict.FAIL
    assert results[1].mask is not None
    assert results[1].mask[24, 48] == 1


def test_each_reference_is_scored_against_the_others_only(inspector: Inspector) -> None:
    images = [part(i) for i in range(9)] + [spotted(9)]
    enrolled = enroll(inspector, recipe(10), images, policy=POLICY)
    for index in (0, 4, 9):
        rest = images[:index] + images[index + 1 :]
        without = inspector.method.prepare(recipe(9), rest)
        alone = inspector.score([images[index]], [without])[0].score
        assert enrolled.scores[index] == pytest.approx(alone, abs=1e-5)
    assert enrolled.scores[9] == max(enrolled.scores), "the stranger among them stands out"
    known = inspector.score([images[9]], [enrolled.prepared])[0].score
    assert enrolled.scores[9] > 2 * known


def test_the_threshold_is_calibrated_from_these_scores(inspector: Inspector) -> None:
    enrolled = enroll(inspector, recipe(8), [part(i) for i in range(8)], policy=POLICY)
    expected = calibrate(enrolled.scores, POLICY, source="")
    assert enrolled.recipe.calibration is not None
    assert expected is not None
    assert enrolled.recipe.calibration.threshold == expected.threshold


@pytest.mark.parametrize(("shots", "scores"), [(1, 0), (2, 2), (7, 7)])
def test_too_few_references_make_a_recipe_that_a_person_reviews(
    inspector: Inspector, shots: int, scores: int
) -> None:
    enrolled = enroll(inspector, recipe(shots), [part(i) for i in range(shots)], policy=POLICY)
    assert enrolled.recipe.calibration is None
    assert len(enrolled.scores) == scores
    result = inspector.inspect([part(50)], [enrolled.prepared])[0]
    assert result.verdict is Verdict.REVIEW
    assert result.score is not None
    assert math.isfinite(result.score)
    assert f"{8 - shots} more good part" in result.reason


def test_no_images_or_too_few_are_refused(inspector: Inspector) -> None:
    with pytest.raises(RecipeError, match="at least one image"):
        enroll(inspector, recipe(0), [], policy=POLICY)
    with pytest.raises(RecipeError, match="names 3 references, 2 were read"):
        enroll(inspector, recipe(3), [part(0), part(1)], policy=POLICY)


def test_the_same_references_give_the_same_threshold(inspector: Inspector) -> None:
    one, other = (enroll(inspector, recipe(8), [part(i) for i in range(8)], policy=POLICY) for _ in range(2))
    assert one.scores == other.scores
    assert one.recipe.calibration == other.recipe.calibration


def test_references_of_a_bounded_bank_are_compared_with_banks_of_the_same_bound() -> None:
    """A coreset that was chosen knowing an image must not be what the image is compared with."""
    images = [part(i) for i in range(24)]
    own = Inspector(Fade(ColourEncoder(), defaults=replace(PARAMETERS, bank_limit=40)))
    seen = Steps()
    enrolled = enroll(own, recipe(24), images, policy=POLICY, progress=seen)
    assert not enrolled.prepared.complete, "there is less room than the references have patches"
    assert seen.steps["comparing each reference with the others"] == [24, 24]
    for index in (3, 13, 23):
        rest = [image for i, image in enumerate(images) if i % FOLDS != index % FOLDS]
        without = own.prepare(recipe(len(rest)), rest)
        alone = own.score([images[index]], [without])[0].score
        assert enrolled.scores[index] == pytest.approx(alone, rel=0.01)


def patchwork(seed: int) -> Image:
    """Patches of any colour: no bank with a bound has all that are like those to come."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cells.repeat(8, axis=0).repeat(8, axis=1)


@pytest.mark.parametrize("limit", [60, 400, 10**6])
def test_references_score_like_parts_that_were_never_seen_whatever_the_bound(limit: int) -> None:
    """Otherwise the threshold of a product with many references would lie far too low, or too high."""
    own = Inspector(Fade(ColourEncoder(), defaults=replace(PARAMETERS, bank_limit=limit)))
    enrolled = enroll(own, recipe(40), [patchwork(i) for i in range(40)], policy=POLICY)
    unseen = [patchwork(i) for i in range(100, 160)]
    new = [scored.score for scored in own.score(unseen, [enrolled.prepared] * len(unseen))]
    assert fmean(enrolled.scores) == pytest.approx(fmean(new), rel=0.15)
