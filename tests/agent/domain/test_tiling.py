"""Tiles: how an image is divided, and which parameters of a recipe say so."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.limits import MOST_TILES
from agent.domain.tiling import TileGrid, Tiling, square_grids

GRIDS = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda pair: TileGrid(*pair))


@given(st.integers(1, 400), st.integers(1, 400), GRIDS, st.floats(0.0, 0.5))
def test_tiles_cover_every_pixel_and_have_one_size(
    width: int, height: int, grid: TileGrid, overlap: float
) -> None:
    covered = np.zeros((height, width), np.int32)
    boxes = grid.boxes(width, height, overlap)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        covered[y0:y1, x0:x1] += 1
    assert covered.min() >= 1
    assert len(boxes) == grid.count
    assert len({(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes}) == 1


@given(st.integers(100, 4000), GRIDS, st.floats(0.05, 0.5))
def test_neighbours_share_as_much_as_the_overlap_says(length: int, grid: TileGrid, overlap: float) -> None:
    spans = [(x0, x1) for x0, y0, x1, _ in grid.boxes(length, 100, overlap) if y0 == 0]
    for (_, stop), (start, end) in pairwise(spans):
        assert stop - start == pytest.approx(overlap * (end - start), abs=2.0)


@given(st.integers(32, 900), GRIDS, st.floats(0.0, 0.5), st.floats(1.0, 3.0))
def test_a_reduced_image_leaves_every_tile_its_side(
    side: int, grid: TileGrid, overlap: float, aspect: float
) -> None:
    shorter = Tiling(str(grid), tile_overlap=overlap).whole_side(side)
    x0, y0, x1, y1 = grid.boxes(round(shorter * aspect), shorter, overlap)[0]
    assert min(x1 - x0, y1 - y0) >= side
    assert Tiling().whole_side(side) == side


def test_whole_tiles_lie_where_one_expects_them() -> None:
    assert TileGrid(3, 2).boxes(300, 200, 0.0) == [
        (0, 0, 100, 100), (100, 0, 200, 100), (200, 0, 300, 100),
        (0, 100, 100, 200), (100, 100, 200, 200), (200, 100, 300, 200),
    ]  # fmt: skip
    assert TileGrid().boxes(31, 7, 0.3) == [(0, 0, 31, 7)]


@pytest.mark.parametrize("text", ["3x2", " 3 x 2 ", "3X2", "3×2"])
def test_a_grid_is_written_like_the_size_of_an_image(text: str) -> None:
    assert TileGrid.parse(text) == TileGrid(columns=3, rows=2)
    assert str(TileGrid.parse(text)) == "3x2"


@pytest.mark.parametrize("text", ["", "3", "x2", "3x", "3x2x1", "0x2", "-1x2", "1.5x2", "9x9", "three"])
def test_what_is_not_a_grid_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="tiles are"):
        TileGrid.parse(text)


@given(st.integers(1, 12_000), st.integers(1, 12_000))
def test_square_grids_grow_and_their_tiles_are_about_square(width: int, height: int) -> None:
    grids = list(square_grids(width, height))
    counts = [grid.count for grid in grids]
    assert counts == sorted(set(counts))
    assert all(count <= MOST_TILES for count in counts)
    for grid in grids:
        assert 0.5 <= (width / grid.columns) / (height / grid.rows) <= 2.0


def test_square_grids_of_usual_formats() -> None:
    def first(width: int, height: int) -> list[str]:
        return [str(grid) for grid in square_grids(width, height)][:3]

    assert first(4200, 2800) == ["2x1", "3x2", "4x3"]
    assert first(640, 480) == ["1x1", "3x2", "4x3"]
    assert first(500, 2000) == ["1x4", "2x8", "3x12"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tiles": "3"}, "columns x rows"),
        ({"tile_overlap": 0.6}, "tile_overlap is a share"),
        ({"tile_overlap": float("nan")}, "tile_overlap is a share"),
        ({"tile_memory": "each"}, "tile_memory is shared or own"),
        ({"tiles": "2x2", "tile_levels": (0.1, 0.2)}, "2 values for 2x2 tiles"),
        ({"tiles": "2x1", "tile_levels": (0.1, -0.2)}, "not negative"),
    ],
)
def test_wrong_values_are_refused_in_a_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tiling(**values)  # type: ignore[arg-type]
