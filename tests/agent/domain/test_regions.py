"""Regions: polygons in fractions of an image, their masks, and how a recipe's and a camera's go together."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.errors import RecipeError, RegionError
from agent.domain.regions import (
    EVERYWHERE,
    MOST_POINTS,
    MOST_POLYGONS,
    Polygon,
    Regions,
    parse_polygon,
    polygon_of,
    rectangle,
)

SIDES = st.integers(1, 80)


@st.composite
def rectangles(draw: st.DrawFn) -> Polygon:
    """Of a tenth of each side at least, in hundredths."""
    x, y = draw(st.integers(0, 90)), draw(st.integers(0, 90))
    width, height = draw(st.integers(10, 100 - x)), draw(st.integers(10, 100 - y))
    return rectangle(x / 100, y / 100, width / 100, height / 100)


@settings(max_examples=60)
@given(rectangles(), SIDES, SIDES)
def test_a_rectangle_holds_the_pixels_whose_centres_lie_in_it(box: Polygon, height: int, width: int) -> None:
    (left, top), (right, bottom) = box[0], box[2]
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    expected = np.outer((y >= top) & (y < bottom), (x >= left) & (x < right))
    found = Regions(inspect=(box,)).mask(height, width)
    edge = np.outer(
        np.minimum(abs(y - top), abs(y - bottom)) > 1e-9, np.minimum(abs(x - left), abs(x - right)) > 1e-9
    )
    assert found.shape == (height, width)
    assert np.array_equal(found[edge], expected[edge])
    assert np.array_equal(Regions(ignore=(box,)).mask(height, width), ~found) or box == rectangle(0, 0, 1, 1)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_a_polygon_holds_the_pixels_whose_centres_lie_in_it(seed: int, corners: int) -> None:
    rng, side = np.random.default_rng(seed), 24
    angles, radii = np.sort(rng.uniform(0, 2 * math.pi, corners)), rng.uniform(0.3, 0.49, corners)
    polygon = tuple(
        (0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for a, r in zip(angles, radii, strict=True)
    )
    try:
        found = Regions(inspect=(polygon,)).mask(side, side)
    except RegionError:
        return  # all corners nearly on one line
    outline = np.array(polygon, np.float32) * side
    for y, x in np.ndindex(side, side):
        distance = cv2.pointPolygonTest(outline, (x + 0.5, y + 0.5), True)
        assert abs(distance) < 1e-3 or found[y, x] == (distance > 0)


@settings(max_examples=40)
@given(st.lists(rectangles(), max_size=3), st.lists(rectangles(), max_size=3))
def test_records_and_texts_give_the_same_regions_again(inspect: list[Polygon], ignore: list[Polygon]) -> None:
    try:
        regions = Regions(tuple(inspect), tuple(ignore))
    except RegionError:
        return  # all is ignored
    assert Regions.of(regions.record()) == regions
    assert Regions.of(regions.record()).digest == regions.digest
    assert bool(regions) == bool(inspect or ignore)
    for polygon in regions.inspect:
        assert parse_polygon(",".join(str(side) for point in polygon for side in point)) == polygon


def test_a_recipe_and_a_camera_inspect_what_both_inspect() -> None:
    recipe = Regions(inspect=(rectangle(0, 0, 0.6, 1),), ignore=(rectangle(0, 0, 0.2, 0.2),))
    camera = Regions(inspect=(rectangle(0.4, 0, 0.6, 1),), ignore=(rectangle(0.5, 0.8, 0.2, 0.2),))
    both = recipe.combined_with(camera)
    assert np.array_equal(both.mask(50, 50), recipe.mask(50, 50) & camera.mask(50, 50))
    assert both.window == pytest.approx((0.4, 0.0, 0.6, 1.0), abs=0.002)
    assert (recipe.combined_with(EVERYWHERE), EVERYWHERE.combined_with(camera)) == (recipe, camera)
    with pytest.raises(RegionError, match="leave nothing"):
        recipe.combined_with(Regions(inspect=(rectangle(0.7, 0, 0.3, 1),)))


def test_cells_are_those_of_the_window_and_never_none() -> None:
    corner = Regions(inspect=(rectangle(0.5, 0.5, 0.5, 0.5),))
    assert corner.cells(8, 8).all()
    holed = Regions(inspect=corner.inspect, ignore=(rectangle(0.5, 0.5, 0.25, 0.25),))
    assert np.array_equal(~holed.cells(8, 8), np.pad(np.ones((4, 4), bool), ((0, 4), (0, 4))))
    specks = Regions(inspect=(rectangle(0, 0, 0.02, 0.02), rectangle(0.98, 0.98, 0.02, 0.02)))
    assert specks.cells(4, 4).sum() == 2, "less than half of a cell is inspected, and counts all the same"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("100,20,30,30", "divide pixels"),
        ("-0.1,0,0.2,0.2", "fractions, 0 to 1"),
        ("0.9,0.9,0.2,0.2", "fractions, 0 to 1"),
        ("nan,0,0.1,0.1", "finite"),
        ("0.1,0.1,0,0.2", "has an area"),
        ("0,0,0.5,0.5,1,1", "has an area"),
        ("0.1,0.1,0.2", "four numbers"),
        ("0,0,1,0,1,1,0", "four numbers"),
        ("the clock", "such as 0.02"),
        ("", "four numbers"),
        (",".join(["0.1,0.2"] * (MOST_POINTS + 1)), f"3 to {MOST_POINTS} corners"),
    ],
)
def test_what_is_no_region_is_refused_with_a_remedy(text: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        parse_polygon(text)


def test_regions_are_bounded_and_leave_something() -> None:
    with pytest.raises(RegionError, match=f"at most {MOST_POLYGONS}"):
        Regions(ignore=(rectangle(0, 0, 0.1, 0.1),) * (MOST_POLYGONS + 1))
    with pytest.raises(RegionError, match="leave nothing"):
        Regions(ignore=(rectangle(0, 0, 1, 1),))
    assert polygon_of([0.7, 0.1, 0.1 + 0.2, 0.2])[1] == (1.0, 0.1), "rounding does not lead out of the image"
