"""Regions: which parts of an image are inspected and which are ignored, as polygons in fractions of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agent.domain.errors import RegionError

Point = tuple[float, float]
"""x to the right and y down, as fractions of the image's width and height."""
Polygon = tuple[Point, ...]
Mask = NDArray[np.bool_]
Window = tuple[float, float, float, float]
"""left, top, right, bottom as fractions of the image."""

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)

MOST_POLYGONS = 64
"""Of one kind in one recipe, or of one camera."""
MOST_POINTS = 200
"""Corners of one polygon."""
LEAST_AREA = 1e-6
"""Of a polygon, as a share of the image: a pixel of a megapixel."""

_ROUNDING = 1e-6
"""So far outside of the image a corner may lie: 0.7 + 0.3 need not be 1 in floating point."""
_DECIMALS = 6
_SIDE = 1024
"""The bounding box of what is inspected is found on a grid of so many cells a side."""
_PER_CELL = 8
"""A cell of a map is divided into so many parts a side to see how much of it is inspected."""
_ENOUGH = 0.5
"""A cell belongs to what is inspected if this share of it does."""


@dataclass(frozen=True, slots=True)
class Regions:
    """The inspected polygons of an image, without the ignored ones.

    >>> clock = rectangle(0.02, 0.02, 0.4, 0.08)
    >>> Regions(ignore=(clock,)).mask(100, 100)[5, 10]
    np.False_
    """

    inspect: tuple[Polygon, ...] = ()
    """Only what lies in one of these is inspected; none: the whole image."""
    ignore: tuple[Polygon, ...] = ()
    """What lies in one of these is not inspected."""
    within: tuple[Polygon, ...] = ()
    """What is inspected lies in one of these, too; none: anywhere. A camera's (:meth:`combined_with`)."""

    def __post_init__(self) -> None:
        for name in ("inspect", "ignore", "within"):
            polygons = getattr(self, name)
            if len(polygons) > MOST_POLYGONS:
                raise RegionError(f"regions have at most {MOST_POLYGONS} polygons, not {len(polygons)}")
            object.__setattr__(self, name, tuple(_checked(polygon) for polygon in polygons))
        if self and not np.any(_raster(self, _SIDE, _SIDE, WHOLE)):
            raise RegionError(
                "the regions leave nothing of the image to inspect; make the ignored ones smaller"
            )

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self.inspect or self.ignore or self.within)

    def combined_with(self, camera: Regions) -> Regions:
        """These of a recipe together with a camera's: what both inspect and neither ignores.

        Raises RegionError if that is nothing.
        """
        if not self or not camera:
            return self or camera
        inspect, within = (self.inspect, camera.inspect) if self.inspect else (camera.inspect, ())
        return Regions(inspect, self.ignore + camera.ignore, within)

    @property
    def digest(self) -> str:
        """sha256 over all corners."""
        return hashlib.sha256(json.dumps([self.inspect, self.ignore, self.within]).encode()).hexdigest()

    @property
    def window(self) -> Window:
        """The bounding box of what is inspected."""
        return _window(self)

    def mask(self, height: int, width: int) -> Mask:
        """(height, width) True on the pixels whose centre is inspected. It must not be written into."""
        return _mask(self, height, width)

    def cells(self, height: int, width: int) -> Mask:
        """(height, width) True on the cells of a grid over the window of which enough is inspected.

        At least one is: of parts that are smaller than half a cell, the cells that hold most of them.
        """
        return _cells(self, height, width)

    def record(self) -> dict[str, list[list[float]]]:
        """As JSON and YAML hold it: the corners of each polygon as x, y, x, y, ...; :meth:`of` reads it."""
        kinds = {"inspect": self.inspect, "ignore": self.ignore}
        return {
            kind: [[side for point in polygon for side in point] for polygon in polygons]
            for kind, polygons in kinds.items()
            if polygons
        }

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> Self:
        """The regions of such a record; see :func:`polygon_of`. Raises RegionError."""
        found = {} if record is None else record
        inspect, ignore = (tuple(map(polygon_of, found.get(kind) or ())) for kind in ("inspect", "ignore"))
        return cls(inspect, ignore)


EVERYWHERE = Regions()
"""The whole image is inspected."""


def rectangle(x: float, y: float, width: float, height: float) -> Polygon:
    """The rectangle with its upper left corner at (x, y)."""
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def polygon_of(numbers: Sequence[float]) -> Polygon:
    """Four numbers are a rectangle: x, y, width, height. Six or more are the corners: x, y, x, y, ...

    Raises RegionError.
    """
    if len(numbers) == 4:
        polygon: Polygon = rectangle(*numbers)
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        polygon = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    else:
        raise RegionError(
            f"a region is four numbers (x, y, width, height) or three or more corners (x, y, x, y, ...), "
            f"not {len(numbers)} numbers"
        )
    return _checked(polygon)


def parse_polygon(text: str) -> Polygon:
    """As :func:`polygon_of`, from numbers between commas or spaces. Raises RegionError."""
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise RegionError(
            f"{text[:60]!r} is not a region: it should be x,y,width,height in fractions of the image, "
            "such as 0.02,0.02,0.4,0.08"
        ) from None
    return polygon_of(numbers)


def _checked(polygon: Sequence[Sequence[float]]) -> Polygon:
    if not 3 <= len(polygon) <= MOST_POINTS:
        raise RegionError(f"a polygon has 3 to {MOST_POINTS} corners, not {len(polygon)}")
    corners = [(float(x), float(y)) for x, y in polygon]
    if not all(math.isfinite(side) for corner in corners for side in corner):
        raise RegionError("the corners of a region are finite numbers")
    outside = [s for corner in corners for s in corner if not -_ROUNDING <= s <= 1.0 + _ROUNDING]
    if outside:
        raise RegionError(
            f"a region lies inside the image: its corners are fractions, 0 to 1, not {outside[0]:g}; "
            "divide pixels by the image's width and height"
        )
    inside = tuple((_fraction(x), _fraction(y)) for x, y in corners)
    if abs(_area(inside)) < LEAST_AREA:
        raise RegionError("a region has an area; all its corners lie on one line, or its edges cross")
    return inside


def _fraction(side: float) -> float:
    """Inside the image, and as people write it: a millionth is less than a hundredth of a pixel."""
    return round(min(max(side, 0.0), 1.0), _DECIMALS)


def _area(polygon: Polygon) -> float:
    """Signed, by Gauss's formula."""
    return 0.5 * sum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(polygon))


def _edges(polygon: Polygon) -> list[tuple[Point, Point]]:
    return list(pairwise((*polygon, polygon[0])))


@lru_cache(maxsize=64)
def _window(regions: Regions) -> Window:
    if not regions:
        return WHOLE
    inside = _raster(regions, _SIDE, _SIDE, WHOLE)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    left, right, top, bottom = (int(end) for ends in (columns, rows) for end in (ends[0], ends[-1] + 1))
    return left / _SIDE, top / _SIDE, right / _SIDE, bottom / _SIDE


@lru_cache(maxsize=8)  # of large frames a dozen megabytes each
def _mask(regions: Regions, height: int, width: int) -> Mask:
    mask = _raster(regions, height, width, WHOLE)
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=256)
def _cells(regions: Regions, height: int, width: int) -> Mask:
    fine = _raster(regions, height * _PER_CELL, width * _PER_CELL, regions.window)
    shares = fine.reshape(height, _PER_CELL, width, _PER_CELL).mean(axis=(1, 3))
    cells = np.asarray(shares >= min(_ENOUGH, float(shares.max())), np.bool_)
    cells.setflags(write=False)
    return cells


def _raster(regions: Regions, height: int, width: int, window: Window) -> Mask:
    """(height, width) True where the centre of a pixel of the window is inspected."""
    mask = np.ones((height, width), np.bool_)
    for kept in (regions.inspect, regions.within):
        if kept:
            mask &= _union(kept, height, width, window)
    if regions.ignore:
        mask &= ~_union(regions.ignore, height, width, window)
    return mask


def _union(polygons: Sequence[Polygon], height: int, width: int, window: Window) -> Mask:
    inside = np.zeros((height, width), np.bool_)
    for polygon in polygons:
        inside |= _filled(polygon, height, width, window)
    return inside


def _filled(polygon: Polygon, height: int, width: int, window: Window) -> Mask:
    """By scan lines: right of each edge that a row's centres cross, inside and outside change places."""
    left, top, right, bottom = window
    crossed = np.zeros((height, width + 1), np.bool_)
    centres = np.arange(height) + 0.5
    for start, end in _edges(polygon):
        ax, bx = ((x - left) / (right - left) * width for x in (start[0], end[0]))
        ay, by = ((y - top) / (bottom - top) * height for y in (start[1], end[1]))
        rows = np.flatnonzero((ay <= centres) != (by <= centres))
        at = ax + (centres[rows] - ay) * ((bx - ax) / (by - ay) if len(rows) else 0.0)
        crossed[rows, np.clip(np.ceil(at - 0.5), 0, width).astype(np.intp)] ^= True
    return np.asarray(np.logical_xor.accumulate(crossed, axis=1)[:, :width])
