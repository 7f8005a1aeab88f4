"""Enrollment finds out how parts lie, with the bundled model on drawn products; the recipe holds it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.simulator import Product, Station, draw
from agent.app.models import build_inspector
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe, Reference, template_recipe
from agent.enrollment.enroll import Enrolled, enroll
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.inference.inspector import Inspector
from agent.methods.memory import WHOLE_BANK
from config import load
from tests.support.images import part

SEED = 1_600_000
POLICY = OrientationPolicy()


@pytest.fixture(scope="module")
def bundled() -> Inspector:
    """The embedded profile's own with small images and banks: at 320 px it finds the same, and slowly."""
    small = ["references.max_patches=512", "inspection.parameters.sightline.scales=[128]"]
    return build_inspector(load(profile="embedded", overrides=small).settings)


def recipe(shots: int, method: str = "sightline") -> Recipe:
    references = tuple(Reference(f"{i:064x}", f"{i}.png", str(i)) for i in range(shots))
    return replace(template_recipe("A", method), references=references)


def parts(family: str, station: Station, count: int = 4) -> list[Image]:
    product = Product.create(family, SEED)
    return [draw(product, station, SEED + index, size=256).image for index in range(count)]


def enrolled(inspector: Inspector, images: list[Image], **parameters: Parameter) -> Enrolled:
    draft = replace(recipe(len(images)), parameters=parameters)
    return enroll(
        inspector, draft, images, policy=CalibrationPolicy(), selection=SelectionPolicy(), orientation=POLICY
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", ["connector", "screw"])
def test_loose_parts_are_memorised_rotated_and_the_recipe_holds_it(bundled: Inspector, family: str) -> None:
    made = enrolled(bundled, parts(family, Station.loose(SEED)))
    assert made.orientation is not None
    assert made.orientation.is_arbitrary
    assert made.recipe.parameters == {"angles": [index * 45.0 for index in range(8)]}
    assert made.prepared.recipe is made.recipe
    assert made.recipe.origin == recipe(4).origin
    again = bundled.prepare(made.recipe, parts(family, Station.loose(SEED)))
    unseen = parts(family, Station.loose(SEED), 5)[4:]
    scores = [bundled.score(unseen, [one])[0].score for one in (made.prepared, again)]
    assert scores[0] == pytest.approx(scores[1]), "the recipe alone decides how its references are memorised"


@pytest.mark.parametrize("family", ["connector", "machined_plate"])
def test_parts_in_a_fixture_are_memorised_as_they_are(bundled: Inspector, family: str) -> None:
    made = enrolled(bundled, parts(family, Station.fixed(SEED)))
    assert made.orientation is not None
    assert not made.orientation.is_arbitrary
    assert made.recipe.parameters == {}


def test_directions_are_compared_by_whole_banks_and_plain_distances(bundled: Inspector) -> None:
    """Otherwise the spread of the references, which rotated ones lower, would speak against rotating them."""
    own = replace(recipe(2), parameters={"smoothing": 3})
    compared = bundled.comparing(own)
    assert compared.parameters == {"smoothing": 3, "bank_limit": WHOLE_BANK, "spread_weight": 0.0}
    assert replace(compared, parameters=own.parameters) == own
    prepared = bundled.prepare(compared, parts("connector", Station.fixed(SEED), 2))
    assert prepared.complete
    assert bundled.comparing(recipe(2, "null")) == recipe(2, "null")


def test_copies_of_a_reference_do_not_speak_for_a_fixture(bundled: Inspector) -> None:
    images = parts("connector", Station.loose(SEED))
    made = enrolled(bundled, [image for image in images for _ in range(3)])
    assert made.recipe.shots == 4
    assert made.orientation is not None
    assert made.orientation.is_arbitrary
    assert made.recipe.parameters == {"angles": [index * 45.0 for index in range(8)]}, "of 4, not of 12"


def test_a_single_reference_decides_nothing(bundled: Inspector) -> None:
    made = enrolled(bundled, parts("connector", Station.loose(SEED), 1))
    assert made.orientation is None or made.orientation.gain is None
    assert made.recipe.parameters == {}


@pytest.mark.parametrize("angles", [[0], [0, 90, 180]])
def test_angles_of_a_person_are_left_alone(bundled: Inspector, angles: list[int]) -> None:
    made = enrolled(bundled, parts("connector", Station.loose(SEED)), angles=angles)
    assert made.orientation is None
    assert made.recipe.parameters == {"angles": angles}


def test_without_a_policy_nothing_is_examined(bundled: Inspector) -> None:
    images = parts("connector", Station.loose(SEED))
    made = enroll(bundled, recipe(4), images, policy=CalibrationPolicy())
    assert made.orientation is None
    assert made.recipe.parameters == {}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["anomaly-dino", "null"])
def test_methods_that_rotate_references_anyway_or_cannot_are_left_alone(method: str) -> None:
    own = build_inspector(load(profile="embedded", overrides=[f"inspection.method={method}"]).settings)
    made = enroll(
        own, recipe(3, method), [part(i) for i in range(3)], policy=CalibrationPolicy(), orientation=POLICY
    )
    assert made.orientation is None
    assert made.recipe.parameters == {}


@pytest.mark.slow
def test_degrees_of_the_configuration_stand_for_all_products() -> None:
    settings = load(profile="embedded", overrides=["references.rotations=[90, 180, 270]"]).settings
    own = build_inspector(settings)
    assert own.orientations(recipe(2)) == (0.0, 90.0, 180.0, 270.0)
    made = enroll(own, recipe(2), [part(0), part(1)], policy=CalibrationPolicy(), orientation=POLICY)
    assert made.orientation is None
