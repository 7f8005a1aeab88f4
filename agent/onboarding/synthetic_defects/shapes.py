"""Shapes of defects as soft masks: blob(), rectangle(), scratch_line() and polygon(), drawn anti-aliased."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha = NDArray[np.float32]
"""(H, W) in [0, 1]: how much of a pixel a shape covers."""

Points = NDArray[np.float64]
"""(n, 2) x, y in pixels."""

_BITS = 4
"""Bits after the point: corners are placed to a sixteenth of a pixel."""


def blob(rng: np.random.Generator, shape: tuple[int, int], centre: Points, area: float) -> Alpha:
    """An irregular spot of about ``area`` pixels: a stretched circle with a varying radius."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angles)
    for wave in range(2, 7):
        radius += rng.normal(0, 0.28 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.35, None)
    stretch, turn = float(rng.uniform(1.0, 1.7)), float(rng.uniform(0, np.pi))
    ring = np.stack([radius * np.cos(angles) * stretch, radius * np.sin(angles) / stretch], axis=1)
    enclosed = 0.5 * abs(float(np.dot(ring[:, 0], np.roll(ring[:, 1], -1) - np.roll(ring[:, 1], 1))))
    return polygon(shape, centre + rotated(ring * np.sqrt(area / enclosed), turn))


def rectangle(rng: np.random.Generator, shape: tuple[int, int], centre: Points, area: float) -> Alpha:
    """A rotated rectangle of ``area`` pixels, up to three times as long as wide (CutPaste's patches)."""
    stretch = float(np.exp(rng.uniform(0, np.log(3.0)) / 2))
    sides = np.sqrt(area) * np.array([stretch, 1 / stretch])
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * sides
    return polygon(shape, centre + rotated(corners, float(rng.uniform(0, np.pi))))


def scratch_line(
    rng: np.random.Generator, shape: tuple[int, int], centre: Points, length: float, width: float
) -> Alpha:
    """A bent line that becomes thinner towards its ends; some have a gap."""
    steps = 40
    heading = np.cumsum(rng.normal(0, float(rng.uniform(0.005, 0.06)), steps)) + rng.uniform(0, 2 * np.pi)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * (length / steps)
    path += centre - path.mean(0)
    taper = np.sin(np.linspace(0.12, np.pi - 0.12, steps)) ** 0.5
    alpha = np.zeros(shape, np.float32)
    gap = int(rng.integers(8, steps - 8)) if rng.random() < 0.3 else -9
    for index in range(1, steps):
        if abs(index - gap) <= 1:
            continue
        wide = width * taper[index]
        thick = max(1, round(wide))
        segment = np.zeros(shape, np.uint8)
        _line(segment, path[index - 1 : index + 1], thick)
        # Lines thinner than a pixel are drawn one pixel wide and fainter.
        np.maximum(alpha, segment * np.float32(min(1.0, wide) / 255), out=alpha)
    return alpha


def polygon(shape: tuple[int, int], corners: Points) -> Alpha:
    """The inside of a polygon."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [_fixed(corners)], 255, lineType=cv2.LINE_AA, shift=_BITS)
    return canvas.astype(np.float32) / np.float32(255)


def softened(alpha: Alpha, sigma: float) -> Alpha:
    """With a soft edge of about ``sigma`` pixels."""
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), sigma), np.float32) if sigma > 0.2 else alpha


def clouds(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Alpha:
    """Smooth noise in [0, 1] whose patches are about ``scale`` pixels wide."""
    rows, columns = (max(2, int(side / max(scale, 1.0)) + 2) for side in shape)
    coarse = rng.random((rows, columns), dtype=np.float32)
    fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(fine, 0, 1), np.float32)


def rotated(points: Points, angle: float) -> Points:
    """Points rotated around the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]))


def _line(canvas: NDArray[np.uint8], ends: Points, thick: int) -> None:
    start, stop = (tuple(map(int, point)) for point in _fixed(ends))
    cv2.line(canvas, start, stop, 255, thick, lineType=cv2.LINE_AA, shift=_BITS)


def _fixed(points: Points | Sequence[Points]) -> NDArray[np.int32]:
    return np.asarray(np.round(np.asarray(points) * (1 << _BITS)), np.int32)
