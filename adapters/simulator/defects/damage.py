"""``Damage``: one defect in the making, with layers, place, target area, strength and light."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from adapters.simulator.canvas import Layers, Plane
from adapters.simulator.render import Window
from adapters.simulator.shapes import Outline

_FINE = 4  # stencils are drawn this many times as large
_SHIFT = 4
RIM = 0.018  # canvases between a damage of the face and the outline


@dataclass(slots=True)
class Spot:
    """A window of the canvas as views into the layers: writing here changes the layers.

    `origin` is the window's corner (x, y) in canvas pixels; `shape` its (rows, columns).
    """

    albedo: npt.NDArray[np.float32]
    height: Plane
    gloss: Plane
    alpha: Plane
    origin: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.alpha.shape
        return rows, columns

    def stencil(self, *outlines: Outline) -> Plane:
        """Polygons in canvas pixels as coverage 0-1 in this window, exact down to a quarter of a pixel."""
        rows, columns = self.shape
        board = np.zeros((rows * _FINE, columns * _FINE), np.uint8)
        for outline in outlines:
            points = (outline - np.asarray(self.origin) + 0.5) * _FINE - 0.5
            cv2.fillPoly(board, [np.rint(points * (1 << _SHIFT)).astype(np.int32)], 255, cv2.LINE_8, _SHIFT)
        cover = cv2.resize(board, (columns, rows), interpolation=cv2.INTER_AREA)
        return np.asarray(cover.astype(np.float32) / 255)

    def paint(self, cover: Plane, colour: npt.ArrayLike) -> None:
        """Blend a colour (or an (h, w, 3) image) over the albedo."""
        self.albedo += (np.asarray(colour, np.float32) - self.albedo) * cover[..., None]

    def darken(self, cover: Plane, amount: float) -> None:
        """Multiply the albedo by 1 - amount under the cover."""
        self.albedo *= (1 - np.float32(amount) * cover)[..., None]


def soften(cover: Plane, sigma: float) -> Plane:
    """A blurred copy."""
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), max(sigma, 0.3)), np.float32)


@dataclass(slots=True)
class Damage:
    """One defect in the making. Lengths are canvas pixels.

    `share` of the silhouette's area to cover; `strength` 0 to 1, contrast; `light` (x, y) towards the lamp in
    the canvas's frame; `seen` the window that the camera sees; `touched` grows with every spot that was
    opened.
    """

    layers: Layers
    rng: np.random.Generator
    share: float
    strength: float
    light: tuple[float, float]
    seen: Window
    touched: Window = field(default_factory=lambda: Window(1 << 30, 1 << 30, -1, -1))

    @property
    def n(self) -> int:
        """Side of the canvas."""
        return int(self.layers.alpha.shape[0])

    @property
    def extent(self) -> float:
        """Square root of the part's area: its size as one length."""
        rows, columns = self.seen.slices
        return float(np.sqrt(max(float(self.layers.alpha[rows, columns].sum()), 16.0)))

    @property
    def area(self) -> float:
        """The area to cover in square pixels."""
        return self.share * self.extent**2

    @property
    def hairline(self) -> float:
        """The thinnest line that a camera still shows."""
        return max(0.85, 0.0042 * self.n)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def place(self, inset: float = 0.0) -> Outline:
        """A random point (2,) on the part, at least about `inset` pixels from its outline if there is
        room; never at the rim, whose own light and dark hide small things.
        """
        rows, columns = self.seen.slices
        solid = (self.layers.alpha[rows, columns] > 0.55).astype(np.uint8)
        step = max(self.n // 64, 1)
        coarse = cv2.copyMakeBorder(solid[::step, ::step], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.distanceTransform(coarse, cv2.DIST_L2, 3)[1:-1, 1:-1] * step
        wanted = min(max(inset, RIM * self.n), float(depth.max()) * 0.75)
        ys, xs = np.nonzero(depth > max(wanted, 0.5))
        if len(xs) == 0:
            return np.array([self.n / 2, self.n / 2])
        k = int(self.rng.integers(len(xs)))
        jitter = self.rng.uniform(0, step, 2)
        return np.array([xs[k] * step + jitter[0] + self.seen.left, ys[k] * step + jitter[1] + self.seen.top])

    def brink(self) -> tuple[Outline, Outline]:
        """A random point on the part's outline and the unit direction into the part."""
        solid = (self.layers.alpha > 0.5).astype(np.uint8)
        edge = solid - cv2.erode(solid, np.ones((3, 3), np.uint8), borderValue=1)
        ys, xs = np.nonzero(edge)
        if len(xs) == 0:
            return self.place(), np.array([1.0, 0.0])
        k = int(self.rng.integers(len(xs)))
        x, y = int(xs[k]), int(ys[k])
        reach = max(int(self.extent * 0.06), 4)
        top, left = max(y - reach, 0), max(x - reach, 0)
        local = solid[top : y + reach + 1, left : x + reach + 1].astype(np.float64)
        mass = max(float(local.sum()), 1.0)
        towards = np.array(
            [
                (local.sum(0) * (np.arange(local.shape[1]) + left - x)).sum() / mass,
                (local.sum(1) * (np.arange(local.shape[0]) + top - y)).sum() / mass,
            ]
        )
        return np.array([float(x), float(y)]), towards / (np.linalg.norm(towards) + 1e-6)

    def spot(self, outline: Outline, border: float) -> Spot:
        """Open the window around an outline with a border; it counts as touched."""
        low, high = outline.min(0) - border, outline.max(0) + border
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right, bottom = min(int(high[0]) + 2, self.n), min(int(high[1]) + 2, self.n)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        left, top = min(left, self.n - 1), min(top, self.n - 1)
        right, bottom = min(right, self.n), min(bottom, self.n)
        seen = self.touched
        self.touched = Window(
            min(seen.left, left), min(seen.top, top), max(seen.right, right), max(seen.bottom, bottom)
        )
        box = (slice(top, bottom), slice(left, right))
        layers = self.layers
        return Spot(layers.albedo[box], layers.height[box], layers.gloss[box], layers.alpha[box], (left, top))
