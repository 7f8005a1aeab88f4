"""``Canvas`` and ``Layers``: a part as flat shapes with colour, relief, gloss and outline, without light.

Coordinates are units: (0, 0) the middle, 1.0 half a side, x to the right and y down. Relief is in levels
around `FLAT`; one level is `LEVEL` canvases high.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from adapters.simulator.colour import RGB

FLAT = 128
LEVEL = 0.00042  # canvases a level of relief
_SHIFT = 4  # fixed-point bits of a coordinate

Point = tuple[float, float]
Points = Sequence[Point] | npt.NDArray[np.floating]
Plane = npt.NDArray[np.float32]
Brushing = Literal["none", "across", "upright", "round"]


@dataclass(frozen=True, slots=True)
class Layers:
    """A part before light and camera: albedo (n, n, 3) 0-1, height (n, n) in pixels, gloss and alpha
    (n, n).

    `shine` is the exponent of the highlight, `thickness` (canvases) the height of the part's face above
    the belt. `brushing` stretches the highlight across the brush marks, which run along x, along y
    ("upright") or round the middle, as turning leaves them. `glow` is light through a
    flank turned away from the lamp, as in wax, fruit and milky plastic.
    """

    albedo: npt.NDArray[np.float32]
    height: Plane
    gloss: Plane
    alpha: Plane
    shine: float = 20.0
    thickness: float = 0.04
    brushing: Brushing = "none"
    glow: float = 0.0

    def copy(self) -> "Layers":
        """Layers that may be drawn on without touching these."""
        return replace(
            self,
            albedo=self.albedo.copy(),
            height=self.height.copy(),
            gloss=self.gloss.copy(),
            alpha=self.alpha.copy(),
        )


class Canvas:
    """8-bit planes that OpenCV draws on with smooth edges; `layers()` turns them into floats."""

    def __init__(
        self, n: int, colour: RGB = (0.5, 0.5, 0.5), gloss: float = 0.2, opaque: bool = False
    ) -> None:
        self.n = n
        self.colour = np.empty((n, n, 3), np.uint8)
        self.colour[:] = self._rgb(colour)
        self.relief = np.full((n, n), FLAT, np.uint8)
        self.gloss = np.full((n, n), round(gloss * 255), np.uint8)
        self.alpha = np.full((n, n), 255 if opaque else 0, np.uint8)

    @staticmethod
    def _rgb(colour: RGB) -> tuple[int, int, int]:
        red, green, blue = (int(min(max(c, 0.0), 1.0) * 255 + 0.5) for c in colour)
        return red, green, blue

    def _planes(
        self, colour: RGB | None, relief: int | None, gloss: float | None, alpha: int | None
    ) -> list[tuple[npt.NDArray[np.uint8], tuple[int, ...]]]:
        planes: list[tuple[npt.NDArray[np.uint8], tuple[int, ...]]] = []
        if colour is not None:
            planes.append((self.colour, self._rgb(colour)))
        if relief is not None:
            planes.append((self.relief, (relief,)))
        if gloss is not None:
            planes.append((self.gloss, (round(gloss * 255),)))
        if alpha is not None:
            planes.append((self.alpha, (alpha,)))
        return planes

    def pixels(self, points: Points) -> npt.NDArray[np.int32]:
        """Units to OpenCV's fixed-point pixels."""
        scaled = (np.asarray(points, np.float64) * 0.5 + 0.5) * self.n - 0.5
        return np.rint(scaled * (1 << _SHIFT)).astype(np.int32)

    def polygon(
        self,
        points: Points,
        colour: RGB | None = None,
        *,
        relief: int | None = None,
        gloss: float | None = None,
        alpha: int | None = None,
    ) -> None:
        """Fill a polygon in every plane that has a value."""
        fixed = [self.pixels(points)]
        for plane, value in self._planes(colour, relief, gloss, alpha):
            cv2.fillPoly(plane, fixed, value, cv2.LINE_AA, _SHIFT)

    def disc(
        self,
        centre: Point,
        radius: float,
        colour: RGB | None = None,
        *,
        relief: int | None = None,
        gloss: float | None = None,
        alpha: int | None = None,
    ) -> None:
        x, y = (int(v) for v in self.pixels([centre])[0])
        length = max(round(radius * 0.5 * self.n * (1 << _SHIFT)), 8)
        for plane, value in self._planes(colour, relief, gloss, alpha):
            cv2.circle(plane, (x, y), length, value, -1, cv2.LINE_AA, _SHIFT)

    def stroke(
        self,
        points: Points,
        width: float,
        colour: RGB | None = None,
        *,
        relief: int | None = None,
        gloss: float | None = None,
        closed: bool = False,
    ) -> None:
        """A line of about `width` units through points."""
        fixed = [self.pixels(points)]
        thickness = max(round(width * 0.5 * self.n), 1)
        for plane, value in self._planes(colour, relief, gloss, None):
            cv2.polylines(plane, fixed, closed, value, thickness, cv2.LINE_AA, _SHIFT)

    def ring(
        self,
        centre: Point,
        radius: float,
        width: float,
        colour: RGB | None = None,
        *,
        relief: int | None = None,
        gloss: float | None = None,
    ) -> None:
        """A circle's line."""
        x, y = (int(v) for v in self.pixels([centre])[0])
        length = max(round(radius * 0.5 * self.n * (1 << _SHIFT)), 8)
        thickness = max(round(width * 0.5 * self.n), 1)
        for plane, value in self._planes(colour, relief, gloss, None):
            cv2.circle(plane, (x, y), length, value, thickness, cv2.LINE_AA, _SHIFT)

    def stamp(
        self, stencil: Plane, centre: Point, colour: RGB | None = None, *, relief: int | None = None
    ) -> None:
        """Blend a float stencil (h, w) 0-1, given in pixels, into the planes, its middle at `centre`."""
        height, width = stencil.shape
        x0 = round((centre[0] * 0.5 + 0.5) * self.n - width / 2)
        y0 = round((centre[1] * 0.5 + 0.5) * self.n - height / 2)
        left, top = max(x0, 0), max(y0, 0)
        right, bottom = min(x0 + width, self.n), min(y0 + height, self.n)
        if right <= left or bottom <= top:
            return
        part = stencil[top - y0 : bottom - y0, left - x0 : right - x0]
        if colour is not None:
            view = self.colour[top:bottom, left:right]
            ink = np.array(self._rgb(colour), np.float32)
            view[:] = view + (ink - view) * part[..., None] + 0.5
        if relief is not None:
            level = self.relief[top:bottom, left:right]
            level[:] = level + (relief - level.astype(np.float32)) * part + 0.5

    def text(
        self,
        words: str,
        centre: Point,
        height: float,
        colour: RGB | None = None,
        *,
        relief: int | None = None,
        bold: bool = False,
        font: int = cv2.FONT_HERSHEY_SIMPLEX,
        fade: float = 1.0,
        turn: int = 0,
    ) -> None:
        """Print or engrave a line of text `height` units high, turned by `turn` quarter turns."""
        stencil = lettering(words, max(height * 0.5 * self.n, 3.0), bold, font)
        if turn:
            stencil = np.ascontiguousarray(np.rot90(stencil, turn))
        self.stamp(stencil * np.float32(fade), centre, colour, relief=relief)

    def layers(self, shine: float = 20.0, thickness: float = 0.04, round_edges: float = 0.004) -> Layers:
        """Floats for the renderer; `round_edges` (canvases) softens the steps of the relief."""
        scale = np.float32(1 / 255)
        height = (self.relief.astype(np.float32) - FLAT) * np.float32(LEVEL * self.n)
        smooth = cv2.GaussianBlur(height, (0, 0), max(round_edges * self.n, 0.5))
        return Layers(
            albedo=self.colour * scale,
            height=np.asarray(smooth, np.float32),
            gloss=self.gloss * scale,
            alpha=self.alpha * scale,
            shine=shine,
            thickness=thickness,
        )


@lru_cache(maxsize=256)
def lettering(words: str, height: float, bold: bool, font: int) -> Plane:
    """A line of text as a stencil 0-1, capitals `height` pixels high; drawn larger and shrunk."""
    fine = 4.0 if height < 24 else 2.0
    scale = height * fine / 21.0  # OpenCV's capitals are 21 pixels high at scale 1
    thickness = max(round(height * fine * (0.2 if bold else 0.11)), 1)
    (width, above), below = cv2.getTextSize(words, font, scale, thickness)
    # OpenCV may state too small a size: leave room, and cut off what stays empty.
    margin = above + 2 * thickness
    board = np.zeros((above + below + 2 * margin, width + 2 * margin), np.uint8)
    cv2.putText(board, words, (margin, above + margin), font, scale, 255, thickness, cv2.LINE_AA)
    ys, xs = np.nonzero(board)
    if len(xs):
        board = board[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    size = (max(round(board.shape[1] / fine), 1), max(round(board.shape[0] / fine), 1))
    small = cv2.resize(board, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small * np.float32(1 / 255), np.float32)


@lru_cache(maxsize=4)
def units(n: int) -> tuple[Plane, Plane]:
    """x and y in units, each (n, n), from -1 to 1."""
    line = np.linspace(-1, 1, n, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    for plane in (x, y):
        plane.flags.writeable = False
    return x, y


@lru_cache(maxsize=4)
def polar(n: int) -> tuple[Plane, Plane]:
    """Distance from the middle in units and angle in radians (-pi to pi), each (n, n)."""
    x, y = units(n)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    for plane in (radius, angle):
        plane.flags.writeable = False
    return radius, angle
