"""``TileGrid``: an image in overlapping tiles. ``Tiling``: what a recipe says about them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.domain.limits import MOST_TILES

OVERLAP = 0.1
SHARED, OWN = "shared", "own"

_GRID = re.compile(r"\s*(\d{1,3})\s*[x×]\s*(\d{1,3})\s*", re.IGNORECASE)

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last two exclusive."""


@dataclass(frozen=True, slots=True)
class TileGrid:
    """So many tiles side by side and one above the other, written like the size of an image: ``3x2``."""

    columns: int = 1
    rows: int = 1

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 1 or self.count > MOST_TILES:
            raise ValueError(f"tiles are 1x1 to {MOST_TILES} in all, columns x rows, not {self}")

    @classmethod
    def parse(cls, text: str) -> TileGrid:
        """``3x2``: three columns, two rows. Raises ValueError."""
        found = _GRID.fullmatch(text)
        if found is None:
            raise ValueError(f"tiles are written as columns x rows, such as 3x2, not {text!r}")
        return cls(int(found[1]), int(found[2]))

    @property
    def count(self) -> int:
        return self.columns * self.rows

    def __str__(self) -> str:
        return f"{self.columns}x{self.rows}"

    def boxes(self, width: int, height: int, overlap: float) -> list[Box]:
        """The tiles of an image, row by row. All have one size, and together they cover every pixel.

        Args:
            overlap: share of a tile's side that it has in common with its neighbour, 0 up to 0.5.
        """
        across, down = _spans(width, self.columns, overlap), _spans(height, self.rows, overlap)
        return [(x0, y0, x1, y1) for y0, y1 in down for x0, x1 in across]

    def side(self, width: int, height: int, overlap: float) -> int:
        """The longer side of one tile in pixels."""
        x0, y0, x1, y1 = self.boxes(width, height, overlap)[0]
        return max(x1 - x0, y1 - y0)


def _spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    side = min(length, math.ceil(length / (count - (count - 1) * overlap)))
    gap = (length - side) / max(1, count - 1)
    starts = [round(index * gap) for index in range(count)]
    return [(start, start + side) for start in starts]


def square_grids(width: int, height: int, most: int = MOST_TILES) -> Iterator[TileGrid]:
    """Grids whose tiles are about square, from one row or column on, the fewest tiles first.

    A method may squeeze what it is given into a square; such tiles lose nothing by it.
    """
    longer, shorter = max(width, height), max(1, min(width, height))
    for few in range(1, most + 1):
        many = max(few, round(few * longer / shorter))
        if few * many > most:
            return
        yield TileGrid(many, few) if width >= height else TileGrid(few, many)


@dataclass(frozen=True, slots=True)
class Tiling:
    """The parameters of a recipe that concern tiles, whatever its method is."""

    tiles: str = "1x1"
    """Columns x rows; 1x1: the whole image, as without tiles."""
    tile_overlap: float = OVERLAP
    """Share of a tile's side that it has in common with its neighbour. A defect on a border between two tiles
    then lies whole in one of them, unless it is larger than a tenth of it, and so easy to see."""
    tile_memory: str = SHARED
    """``shared``: one memory for all tiles, so what is good at one place is good at every place, as it is
    without tiles. ``own``: each tile has a memory of its own. That is stricter, for parts that lie at one
    place to within a few pixels: what moves from one tile to the next is unknown there."""
    tile_levels: tuple[float, ...] = ()
    """Usual score of good parts for each tile, set by enrollment; none: tiles are compared as they are."""

    def __post_init__(self) -> None:
        grid = self.grid
        if not 0.0 <= self.tile_overlap <= 0.5:
            raise ValueError(f"tile_overlap is a share of a tile, 0 to 0.5, not {self.tile_overlap}")
        if self.tile_memory not in (SHARED, OWN):
            raise ValueError(f"tile_memory is {SHARED} or {OWN}, not {self.tile_memory!r}")
        if self.tile_levels and len(self.tile_levels) != grid.count:
            raise ValueError(
                f"tile_levels has {len(self.tile_levels)} values for {grid} tiles; change tiles with "
                "`sightline recipe tiles`, which measures them, or remove tile_levels"
            )
        if not all(math.isfinite(level) and level >= 0.0 for level in self.tile_levels):
            raise ValueError("tile_levels are scores, not negative")

    @property
    def grid(self) -> TileGrid:
        return TileGrid.parse(self.tiles)

    def whole_side(self, side: int) -> int:
        """The shorter side in pixels of an image none of whose tiles is smaller than ``side``."""
        least = min(
            1.0 / (count - (count - 1) * self.tile_overlap) for count in (self.grid.columns, self.grid.rows)
        )
        return math.ceil(side / least - 1e-9)

    def describe(self) -> str:
        """For a note: ``the whole image`` or ``3 x 2 tiles``."""
        grid = self.grid
        if grid.count == 1:
            return "the whole image"
        memory = " with a memory each" if self.tile_memory == OWN else ""
        apart = "" if self.tile_overlap == OVERLAP else f", overlapping by {self.tile_overlap:.0%}"
        return f"{grid.columns} x {grid.rows} tiles{memory}{apart}"
