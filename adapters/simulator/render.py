"""``render`` and ``develop``: light and camera, from layers and an exposure to an image.

Shading is a Lambert term over an ambient one, and a Blinn-Phong highlight whose half vector turns across the
image as under a nearby lamp. Colours stay in display space: images must look right, not be radiometric.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from adapters.simulator import noise
from adapters.simulator.canvas import Layers, Plane
from adapters.simulator.clutter import strew
from adapters.simulator.seeds import generator
from adapters.simulator.station import Background, Exposure

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the image in pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, by: int, size: int) -> "Window":
        """The window with a border of `by` pixels, within the image."""
        return Window(
            max(self.left - by, 0),
            max(self.top - by, 0),
            min(self.right + by, size),
            min(self.bottom + by, size),
        )


def pose(exposure: Exposure, n: int, size: int) -> npt.NDArray[np.float64]:
    """The 2 x 3 matrix from canvas pixels to image pixels."""
    scale = exposure.scale * size / n
    angle = np.radians(exposure.angle)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle = (n - 1) / 2
    x = (size - 1) / 2 + exposure.shift[0] * size - cos * middle + sin * middle
    y = (size - 1) / 2 + exposure.shift[1] * size - sin * middle - cos * middle
    return np.array([[cos, -sin, x], [sin, cos, y]])


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Plane, Plane, Plane]:
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y, x * x + y * y


@lru_cache(maxsize=24)
def backdrop(background: Background, size: int) -> Pixels:
    """The belt or table under the part, (size, size, 3), before light."""
    rng = generator("backdrop", background.seed)
    tone = np.array(background.tone, np.float32)
    kind, place = background.kind, background.place
    step = max(size // int(rng.integers(6, 11)), 8) if kind == "mat" else 1
    if place:
        rng = generator("backdrop", background.seed, place)
    if kind == "belt":
        value = 0.06 * noise.white(rng, size) + 0.05 * noise.fractal(rng, size, 0.3)
        x, y, _ = _grid(size)
        value = value + np.float32(0.05) * np.sin(np.float32(size * 0.35) * (x + y) + np.float32(place % 7))
    elif kind == "steel":
        value = 0.07 * noise.streaks(rng, size, 0.5, 0.004) + 0.03 * noise.clouds(rng, size, 0.4)
    elif kind == "felt":
        value = 0.16 * noise.white(rng, size) + 0.06 * noise.fractal(rng, size, 0.1)
    elif kind == "wood":
        value = 0.10 * noise.streaks(rng, size, 0.6, 0.02) + 0.06 * noise.streaks(rng, size, 0.3, 0.005)
    elif kind == "mat":
        first = (step // 2 + place) % step
        value = 0.02 * noise.white(rng, size)
        value[first::step] += np.float32(0.3)
        value[:, first::step] += np.float32(0.3)
    else:
        value = 0.03 * noise.white(rng, size) + 0.03 * noise.fractal(rng, size, 0.5)
    ground = np.clip(tone * (1 + value[..., None]), 0, 1).astype(np.float32)
    return strew(ground, background.clutter) if background.clutter else ground


def _shadow(alpha: Plane, exposure: Exposure, thickness: float, size: int) -> Plane:
    """How dark the belt is under and beside the part, 0 to 1: the cast shadow and the dark of the contact."""
    reach = thickness * size / max(exposure.light[2], 0.35)
    dx, dy = round(-exposure.light[0] * reach), round(-exposure.light[1] * reach)
    rows, columns = alpha.shape
    cast = np.zeros_like(alpha)
    to_y, to_x = slice(max(dy, 0), rows + min(dy, 0)), slice(max(dx, 0), columns + min(dx, 0))
    from_y, from_x = slice(max(-dy, 0), rows + min(-dy, 0)), slice(max(-dx, 0), columns + min(-dx, 0))
    cast[to_y, to_x] = alpha[from_y, from_x]
    cast = np.maximum(cast, np.float32(0.5) * alpha)
    side = max(round(exposure.softness * size), 1) * 2 + 1
    soft = cv2.blur(cv2.blur(cast, (side, side)), (side, side))
    return np.asarray(soft * np.float32(exposure.shadow), np.float32)


def margin(exposure: Exposure, thickness: float, size: int) -> int:
    """How far, in pixels, a change of the part can reach beyond itself: shadow, blur, slope."""
    return int(thickness * size / 0.35 + 4 * exposure.softness * size) + 8


def warp(layers: Layers, exposure: Exposure, size: int, window: Window) -> tuple[Pixels, Plane, Plane, Plane]:
    """Albedo, height, gloss and alpha as the camera's window sees them."""
    matrix = pose(exposure, layers.alpha.shape[0], size)
    matrix[0, 2] -= window.left
    matrix[1, 2] -= window.top
    shape = (window.right - window.left, window.bottom - window.top)
    border = cv2.BORDER_REFLECT_101 if layers.alpha[0, 0] > 0.5 else cv2.BORDER_CONSTANT
    albedo = cv2.warpAffine(layers.albedo, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=border)
    rest = cv2.merge([layers.height, layers.gloss, layers.alpha])
    rest = cv2.warpAffine(rest, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=border)
    height, gloss, alpha = (np.asarray(plane, np.float32) for plane in cv2.split(rest))
    return np.asarray(albedo, np.float32), height, gloss, alpha


def _three(plane: Plane) -> Pixels:
    """A plane as three equal channels; multiplying like with like is faster than broadcasting."""
    return np.asarray(cv2.merge([plane, plane, plane]), np.float32)


def _brush(layers: Layers, exposure: Exposure, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """The direction of the brush marks at every pixel of the image, unit length."""
    if layers.brushing == "round":
        away_x = x - np.float32(2 * exposure.shift[0])
        away_y = y - np.float32(2 * exposure.shift[1])
        far = np.hypot(away_x, away_y) + np.float32(1e-3)
        return -away_y / far, away_x / far
    angle = np.radians(exposure.angle + (90 if layers.brushing == "upright" else 0))
    return np.full_like(x, np.cos(angle)), np.full_like(x, np.sin(angle))


def render(layers: Layers, exposure: Exposure, size: int, window: Window) -> tuple[Pixels, Plane]:
    """The window of the image, (h, w, 3) in levels 0-255 before noise, and its alpha (h, w)."""
    albedo, height, gloss, alpha = warp(layers, exposure, size, window)
    rows, columns = window.slices
    grid_x, grid_y, radius = (plane[rows, columns] for plane in _grid(size))
    lx, ly, lz = (np.float32(v) for v in exposure.light)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    upright = 1 / cv2.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    facing = cv2.max((lz - slope_x * lx - slope_y * ly) * upright, 0.0)  # type: ignore[call-overload]
    ambient = np.float32(exposure.ambient)
    diffuse = cv2.min(ambient + (1 - ambient) / lz * facing, 1.7)  # type: ignore[call-overload]

    half_x = np.float32(0.55) * (lx - grid_x)
    half_y = np.float32(0.55) * (ly - grid_y)
    half_z = 1 / cv2.sqrt(1 + half_x * half_x + half_y * half_y)
    glance = (1 - slope_x * half_x - slope_y * half_y) * upright * half_z
    if layers.glow:
        diffuse = diffuse + np.float32(layers.glow) * np.maximum(slope_x * lx + slope_y * ly, 0) * upright
    if layers.brushing != "none":
        way_x, way_y = _brush(layers, exposure, grid_x, grid_y)
        climb = way_x * slope_x + way_y * slope_y
        skew = (way_x * half_x + way_y * half_y + climb) * half_z / np.sqrt(1 + climb * climb)
        # Kajiya and Kay 1989, equation 14: the highlight of a bundle of fibres, here of grooves.
        glance = np.sqrt(np.maximum(1 - skew * skew, 0)) * np.sqrt(np.maximum(glance, 0))
    spark = gloss * cv2.pow(cv2.max(glance, 0.0), layers.shine)  # type: ignore[call-overload]
    spark *= np.float32(exposure.highlight)

    field = (
        1 + np.float32(exposure.falloff[0]) * grid_x + np.float32(exposure.falloff[1]) * grid_y
    ) * np.float32(255 * exposure.gain) - np.float32(255 * exposure.vignette * 0.5) * radius
    part = albedo * _three(diffuse)
    part += _three(spark)
    if layers.alpha[0, 0] > 0.5:
        image = part
    else:
        ground = backdrop(exposure.background, size)[rows, columns]
        ground = ground * _three(1 - _shadow(alpha, exposure, layers.thickness, size))
        part -= ground
        part *= _three(alpha)
        image = np.add(ground, part, out=part)
    image *= cv2.merge([field * np.float32(gain) for gain in exposure.tint])
    sigma = exposure.blur * size
    if sigma > 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (5, 5), sigma), np.float32)
    # A soft shoulder instead of hard clipping, as cameras have.
    image = np.maximum(image, 0)
    over = np.maximum(image - 215, 0)
    image -= over * (over / (40 + over))
    return image, alpha


def sensor_noise(rng: np.random.Generator, size: int) -> Pixels:
    """Noise of unit deviation for one image, (size, size, 3), mostly shared by the channels."""
    shared = np.float32(0.8) * noise.white(rng, size)
    return np.asarray(
        cv2.merge([shared + np.float32(0.5) * noise.white(rng, size) for _ in range(3)]), np.float32
    )


def develop(image: Pixels, grain: Pixels, exposure: Exposure) -> npt.NDArray[np.uint8]:
    """Levels to an 8-bit file: read and shot noise, rounding, and the camera's JPEG if it has one."""
    read, shot = (np.float32(v) for v in exposure.noise)
    noisy = image + grain * (read + shot * cv2.sqrt(image))
    raw = np.clip(noisy + np.float32(0.5), 0, 255).astype(np.uint8)
    if exposure.jpeg is None:
        return raw
    _, coded = cv2.imencode(".jpg", raw, (cv2.IMWRITE_JPEG_QUALITY, exposure.jpeg))
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
