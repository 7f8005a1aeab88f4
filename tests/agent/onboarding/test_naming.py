"""The margin of names: supported by synthetic defects that were named rightly, or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulator import Product, Station, draw
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.enrollment.enroll import Enrolled, enroll
from agent.inference.inspector import Inspector
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.onboarding.naming import MOSTLY, REFERENCES, Naming, name_defects, supported_margin
from agent.onboarding.synthetic_defects import KINDS, add_defect

RIGHT = {"scratch": "scratch", "stain": "stain", "hole": "hole", "missing patch": "missing part"}


@dataclass(frozen=True, slots=True)
class TalkingPrepared(PreparedRecipe):
    """Names the synthetic defects in the order in which they are drawn."""

    answers: list[tuple[str, float]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def label(self, region: torch.Tensor) -> str | None:
        return self.answers[len(self.asked)][0] if self.answers else None

    def lead(self, region: torch.Tensor) -> float:
        self.asked.append(1)
        return self.answers[len(self.asked) - 1][1]


class Talking:
    """A method that gives the answers of a test; without patches it names nothing."""

    digest = fingerprint = "talking"

    def __init__(self, answers: Sequence[tuple[str, float]], *, patches: bool = True) -> None:
        self.answers, self.patches, self.scored = list(answers), patches, 0

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> TalkingPrepared:
        return TalkingPrepared(recipe, self.answers, [])

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        self.scored += len(images)
        patches = torch.ones(4, 4, 2) if self.patches else None
        return [Scored(float(image.std()), torch.zeros(4, 4), patches) for image in images]


def gear(seed: int) -> Image:
    """A good gear."""
    return draw(Product.create("gear", 1_000_000), Station.fixed(1_000_000), seed, size=128).image


def drawn_kinds() -> list[str]:
    """The synthetic defects of eight gears in their order, without those that do not show on one."""
    found = []
    for place in range(REFERENCES):
        for number, kind in enumerate(KINDS):
            with suppress(ValueError):
                seed = place * len(KINDS) + number
                found.append(add_defect(gear(place * 8 // REFERENCES), seed, kinds=(kind,)).kind)
    return found


def tried(method: Talking, references: int = 8) -> tuple[float | None, int]:
    """The margin after an enrollment, and the passes that it took."""
    names = tuple(Reference(str(index), str(index), str(index)) for index in range(references))
    recipe = replace(template_recipe("A", "talking"), references=names)
    images = [gear(index) for index in range(references)]
    inspector = Inspector(method)
    enrolled = enroll(inspector, recipe, images, policy=CalibrationPolicy())
    before = method.scored
    named: Enrolled = name_defects(inspector, enrolled, images)
    calibration = named.recipe.calibration
    assert named.prepared.recipe is named.recipe
    return (None if calibration is None else calibration.label_margin), method.scored - before


def test_a_model_that_knows_defects_names_them_from_a_margin_on() -> None:
    answers = [(RIGHT.get(kind, "dent"), 0.9 if kind in RIGHT else 0.2) for kind in drawn_kinds()]
    assert tried(Talking(answers)) == (0.9, len(answers))


def test_a_model_that_always_says_the_same_names_nothing() -> None:
    assert tried(Talking([("stain", 0.9)] * 99)) == (None, len(drawn_kinds()))


def test_a_model_that_is_never_right_is_asked_half_as_often() -> None:
    assert tried(Talking([("misprint", 0.9)] * 99)) == (None, REFERENCES * len(KINDS) // 2)


@pytest.mark.parametrize(("references", "patches"), [(8, False), (3, True)])
def test_without_patches_or_threshold_no_name_is_tried(references: int, patches: bool) -> None:
    margin, passes = tried(Talking([], patches=patches), references)
    assert margin is None
    assert passes <= 1


def named(*results: tuple[bool, float]) -> list[Naming]:
    return [Naming("scratch", "scratch" if right else "dent", lead) for right, lead in results]


def test_the_margin_is_the_smallest_that_is_right_more_often_than_not() -> None:
    sure, wrong = [(True, 0.5 + 0.01 * index) for index in range(8)], [(False, 0.3)] * 20
    assert supported_margin(named(*sure, *wrong)) == 0.5
    assert supported_margin(named(*sure[:3])) is None, "three may be chance"
    assert supported_margin(named(*[(True, 0.0)] * 30)) is None, "a name that leads by nothing"
    assert supported_margin(named(*sure, *[(False, 0.5)] * 20)) == 0.51, "ties count together"
    assert supported_margin([]) is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=40))
def test_names_above_the_margin_are_mostly_right(results: list[tuple[bool, float]]) -> None:
    margin = supported_margin(named(*results))
    if margin is not None:
        given = [right for right, lead in results if lead >= margin]
        assert len(given) >= 4
        assert sum(given) / len(given) > MOSTLY
