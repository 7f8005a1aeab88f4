"""DRAWERS: the kinds of synthetic defect. Each returns a changed image and how much of it shows where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.onboarding.synthetic_defects.foreground import Mask
from agent.onboarding.synthetic_defects.shapes import (
    Alpha,
    Points,
    blob,
    clouds,
    rectangle,
    scratch_line,
    softened,
)

Levels = NDArray[np.float32]
"""(H, W, 3) levels 0 to 255."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where and how a defect is to be drawn."""

    image: Levels
    foreground: Mask
    rng: np.random.Generator
    centre: Points
    """(1, 2) x, y in pixels, on the foreground."""
    area: float
    """The area to aim at, in pixels."""
    strength: float
    """In (0, 1]: how visible it shall be."""
    noise: float
    """Deviation of the camera's own noise, in levels."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.foreground.shape[0], self.foreground.shape[1]

    def surroundings(self, alpha: Alpha) -> NDArray[np.float32]:
        """(3,) mean colour of the product around a shape."""
        reach = max(3, round(0.5 * np.sqrt(self.area))) | 1
        near = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        around = near & (alpha <= 0) & self.foreground
        chosen = around if around.any() else self.foreground
        return np.asarray(self.image[chosen].mean(0), np.float32)

    def grain(self) -> Levels:
        """Noise like the camera's, for what covers the real one."""
        return self.rng.normal(0, max(self.noise, 0.5), self.image.shape).astype(np.float32)


Drawn = tuple[Levels, Alpha]


def cut_paste(site: Site) -> Drawn:
    """A patch of the product at another place on it (CutPaste, Li et al. 2021, with its colour jitter)."""
    rng = site.rng
    shape = blob if rng.random() < 0.5 else rectangle
    alpha = shape(rng, site.shape, site.centre, site.area)
    rows, columns = np.nonzero(site.foreground)
    source = int(rng.integers(len(rows)))
    shift = np.array([columns[source], rows[source]]) - site.centre[0]
    angle = float(rng.choice([0.0, 90.0, 180.0, 270.0]) + rng.uniform(-30, 30))
    x, y = (float(value) for value in site.centre[0])
    matrix = cv2.getRotationMatrix2D((x, y), angle, 1.0)
    matrix[:, 2] -= matrix[:, :2] @ shift
    size = (site.shape[1], site.shape[0])
    pasted = cv2.warpAffine(
        site.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    gain = 1.0 + float(rng.uniform(-0.35, 0.35)) * site.strength
    return np.asarray(pasted * np.float32(gain), np.float32), softened(alpha, 0.7)


def scratch(site: Site) -> Drawn:
    """A thin bright or dark line, as long as its area allows."""
    rng = site.rng
    side = float(min(site.shape))
    width = float(np.clip(rng.uniform(0.003, 0.010) * side, 0.8, None))
    length = float(np.clip(site.area / width, 0.06 * side, 0.55 * side))
    alpha = softened(scratch_line(rng, site.shape, site.centre, length, width), 0.35)
    colour = site.surroundings(alpha)
    brighter = float(colour.mean()) < 150 if rng.random() < 0.8 else rng.random() < 0.5
    towards = np.full(3, 245.0 if brighter else 12.0, np.float32) + 0.15 * (colour - colour.mean())
    strength = np.float32(0.25 + 0.65 * site.strength) * (0.7 + 0.3 * clouds(rng, site.shape, 12.0))
    layer = site.image + (towards - site.image) * strength[..., None]
    return np.asarray(layer, np.float32), alpha


_STAINS = ((92, 60, 30), (40, 34, 28), (150, 110, 40), (60, 66, 80), (205, 198, 180), (120, 40, 30))
"""Coffee, oil, rust-yellow, ink, chalk, red-brown: RGB."""


def stain(site: Site) -> Drawn:
    """A cloudy spot of another colour with a darker rim, through which the product shows."""
    rng = site.rng
    alpha = blob(rng, site.shape, site.centre, site.area)
    radius = np.sqrt(site.area / np.pi)
    colour = np.asarray(_STAINS[int(rng.integers(len(_STAINS)))], np.float32)
    soft = softened(alpha, float(rng.uniform(0.04, 0.22)) * radius)
    rim = np.clip(soft - softened(alpha, 0.35 * radius), 0, None)
    cover = soft * (0.65 + 0.35 * clouds(rng, site.shape, 0.5 * radius)) + 0.5 * rim
    opacity = np.clip(cover * (0.20 + 0.60 * site.strength), 0, 0.92)
    # Part filter, part cover: a stain darkens what is under it and adds a colour of its own.
    filtered = site.image * (0.35 + 0.65 * colour / np.float32(255))
    return np.asarray(0.45 * filtered + 0.55 * colour, np.float32), np.asarray(opacity, np.float32)


def hole(site: Site) -> Drawn:
    """A dark pit with a bright edge on the side away from the light."""
    rng = site.rng
    alpha = blob(rng, site.shape, site.centre, site.area)
    radius = max(1.0, float(np.sqrt(site.area / np.pi)))
    colour = site.surroundings(alpha)
    depth = np.float32(1.0 - (0.45 + 0.45 * site.strength))
    layer = np.broadcast_to(colour * depth, site.image.shape) + site.grain()
    angle = float(rng.uniform(0, 2 * np.pi))
    offset = 0.18 * radius * np.array([[np.cos(angle)], [np.sin(angle)]])
    shift = np.hstack([np.eye(2), offset])
    moved = cv2.warpAffine(alpha, shift, (site.shape[1], site.shape[0]))
    edge = np.clip(alpha - moved, 0, 1)[..., None]
    lit = np.clip(colour * 1.35 + 20, 0, 250)
    layer = layer + (lit - layer) * edge * np.float32(0.6)
    return np.asarray(layer, np.float32), softened(alpha, 0.5)


def missing_patch(site: Site) -> Drawn:
    """A piece of the product is missing: its surroundings, or the background, take its place."""
    rng = site.rng
    shape = rectangle if rng.random() < 0.4 else blob
    alpha = shape(rng, site.shape, site.centre, site.area)
    background = ~site.foreground
    if background.any() and rng.random() < 0.4:
        behind = np.median(site.image[background][:: max(1, int(background.sum()) // 4096)], axis=0)
        return np.asarray(behind + site.grain(), np.float32), softened(alpha, 0.6)
    return _inpainted(site, alpha), softened(alpha, 0.6)


def _inpainted(site: Site, alpha: Alpha) -> Levels:
    """The surroundings drawn over a shape (Telea's fast marching), with the camera's noise."""
    rows, columns = np.nonzero(alpha > 0.02)
    if not len(rows):
        return site.image
    reach = 8
    top, bottom = max(int(rows.min()) - reach, 0), int(rows.max()) + reach + 1
    left, right = max(int(columns.min()) - reach, 0), int(columns.max()) + reach + 1
    window = (slice(top, bottom), slice(left, right))
    pixels = np.clip(site.image[window], 0, 255).astype(np.uint8)
    filled = cv2.inpaint(pixels, (alpha[window] > 0.02).astype(np.uint8), 4, cv2.INPAINT_TELEA)
    layer = site.image.copy()
    layer[window] = filled
    return np.asarray(layer + site.grain(), np.float32)


def blur(site: Site) -> Drawn:
    """A smeared place: the product's texture and print lose their edges."""
    rng = site.rng
    alpha = blob(rng, site.shape, site.centre, site.area)
    radius = float(np.sqrt(site.area / np.pi))
    sigma = float(np.clip((0.15 + 0.35 * site.strength) * radius, 1.5, None))
    smeared = np.asarray(cv2.GaussianBlur(site.image, (0, 0), sigma), np.float32)
    if rng.random() < 0.5:  # wiped in one direction
        reach = max(3, round(2 * sigma)) | 1
        line = np.zeros((reach, reach), np.float32)
        line[reach // 2] = 1.0 / reach
        turn = cv2.getRotationMatrix2D((reach // 2, reach // 2), float(rng.uniform(0, 180)), 1.0)
        kernel = cv2.warpAffine(line, turn, (reach, reach))
        smeared = np.asarray(cv2.filter2D(site.image, -1, kernel / max(kernel.sum(), 1e-6)), np.float32)
    return smeared + site.grain(), softened(alpha, 0.12 * radius)


DRAWERS: Mapping[str, Callable[[Site], Drawn]] = {
    "cut-paste": cut_paste,
    "scratch": scratch,
    "stain": stain,
    "hole": hole,
    "missing patch": missing_patch,
    "blur": blur,
}
"""By the names in results."""
