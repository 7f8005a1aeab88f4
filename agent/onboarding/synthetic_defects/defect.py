"""add_defect(): one synthetic defect on one image, with its exact mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.onboarding.synthetic_defects.foreground import Mask, estimate_foreground
from agent.onboarding.synthetic_defects.kinds import DRAWERS, Levels, Site

KINDS = tuple(DRAWERS)
"""All kinds, by the names in results."""

AREA = (0.001, 0.05)
"""Share of the frame that a defect aims at, log-uniform."""

MOST_OF_PRODUCT = 0.2
"""No defect takes more than this share of the product."""

STRENGTH = (0.15, 1.0)
"""How visible a defect shall be, log-uniform: most real ones are faint."""

CHANGED = 3
"""Levels of 255: a pixel in which no channel changed by so much is returned unchanged."""

VISIBLE = 6.0
"""Mean Lab distance under the mask that a person sees at a glance."""

VISIBLE_NOISE = 1.0
"""The same in deviations of the product's own fine texture: on rough material a defect must be stronger."""

PLAIN = 10.0
"""This distance is enough on any material: coarse texture may be a print or the build of the product."""

LEAST_PIXELS = 12
TRIES = 8


@dataclass(frozen=True, slots=True)
class SyntheticDefect:
    """An image with a defect drawn on its product."""

    image: Image
    """Equal to the original outside the mask."""
    mask: Mask
    """(H, W), the pixels that changed; inside the product."""
    kind: str


def add_defect(
    image: Image,
    seed: int,
    *,
    kinds: Sequence[str] = KINDS,
    foreground: Mask | None = None,
    areas: tuple[float, float] = AREA,
    strengths: tuple[float, float] = STRENGTH,
) -> SyntheticDefect:
    """Draw one defect of one of ``kinds`` on an image. The same arguments give the same result.

    A try that is not visible, for instance a blur on smooth metal, is repeated elsewhere and stronger. If a
    kind cannot be made visible on this product, the next kind follows, in an order that ``seed`` decides.

    Args:
        image: (H, W, 3) uint8 RGB, 16 pixels or more a side.
        foreground: (H, W) True on the product; by default
            :func:`agent.onboarding.synthetic_defects.foreground.estimate_foreground`.
        areas: least and largest share of the frame that it aims at; equal ones fix its size.
        strengths: how visible it shall be, within (0, 1].

    Raises:
        ValueError: no kinds or an unknown one, a foreground of another shape or without a pixel, an
            image too small, or none of the kinds could be made visible.
    """
    _check(image, kinds, foreground)
    product = estimate_foreground(image) if foreground is None else foreground
    rng = np.random.default_rng([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF])
    pixels = image.astype(np.float32)
    noise, texture = _noise_and_texture(image, product)
    size = float(np.exp(rng.uniform(*np.log(areas))))
    strength = float(np.exp(rng.uniform(*np.log(strengths))))
    for kind in rng.permutation(np.array(kinds)):
        area, plain = size * product.size, strength
        for _ in range(TRIES):
            wanted = float(
                np.clip(area, 2 * LEAST_PIXELS, max(MOST_OF_PRODUCT * product.sum(), LEAST_PIXELS))
            )
            site = Site(pixels, product, rng, _place(rng, product, wanted), wanted, plain, noise)
            made = _compose(image, *DRAWERS[str(kind)](site), product)
            if _visible(image, made[0], made[1], texture):
                return SyntheticDefect(made[0], made[1], str(kind))
            area, plain = min(area * 1.2, areas[1] * product.size), min(plain * 1.5, 1.0)
    raise ValueError(f"no defect of the kinds {', '.join(kinds)} can be made visible on this image")


def _check(image: Image, kinds: Sequence[str], foreground: Mask | None) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 16:
        raise ValueError(
            f"an image is (H, W, 3) uint8, 16 pixels or more a side, not {image.shape} {image.dtype}"
        )
    unknown = [kind for kind in kinds if kind not in DRAWERS]
    if unknown or not kinds:
        problem = f"no kind of defect {unknown[0]!r}" if unknown else "no kind of defect named"
        raise ValueError(f"{problem}; there are: {', '.join(KINDS)}")
    if foreground is not None and (foreground.shape != image.shape[:2] or not foreground.any()):
        raise ValueError("the foreground has the image's height and width and at least one pixel")


def _place(rng: np.random.Generator, product: Mask, area: float) -> NDArray[np.float64]:
    """(1, 2) x, y of a pixel of the product, away from its edge if the product is large enough."""
    inside = cv2.distanceTransform(np.pad(product, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)[
        1:-1, 1:-1
    ]
    # Real defects lie at edges, too: a fifth of these may.
    wanted = 0.0 if rng.random() < 0.2 else 0.7 * float(np.sqrt(area / np.pi))
    rows, columns = np.nonzero(inside > min(wanted, 0.7 * float(inside.max())))
    chosen = int(rng.integers(len(rows)))
    return np.array([[columns[chosen], rows[chosen]]], np.float64)


def _compose(image: Image, layer: Levels, alpha: NDArray[np.float32], product: Mask) -> tuple[Image, Mask]:
    """The image with the layer drawn over it, and the mask of the pixels that changed."""
    cover = np.where(product, alpha, np.float32(0))[..., None]
    levels = image + (layer - image) * cover
    changed = np.clip(levels + np.float32(0.5), 0, 255).astype(np.uint8)
    moved = np.abs(changed.astype(np.int16) - image).max(2)
    mask = (moved >= CHANGED) & product
    return np.where(mask[..., None], changed, image), mask


def _visible(image: Image, changed: Image, mask: Mask, texture: float) -> bool:
    if int(mask.sum()) < max(LEAST_PIXELS, 0.4 * AREA[0] * mask.size):
        return False
    difference = _lab(changed[mask]) - _lab(image[mask])
    distance = float(np.sqrt(np.square(difference).sum(1)).mean())
    return distance >= min(max(VISIBLE, VISIBLE_NOISE * texture), PLAIN)


def _lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 3) RGB as CIE Lab."""
    return np.asarray(cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0], np.float32)


def _noise_and_texture(image: Image, product: Mask) -> tuple[float, float]:
    """Deviation of the camera's noise in levels, and of the product's fine texture in units of lightness.

    Noise is the median size of the Laplacian's response, which edges do not change (Immerkaer 1996, with a
    median instead of the mean).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(grey, -1, kernel))[product]
    noise = float(np.median(response)) / 0.6745 / 6.0
    fine = (grey - cv2.blur(grey, (7, 7)))[product]
    # Half of the spread between quantiles: single edges and prints are not texture.
    low, high = np.quantile(fine, [0.16, 0.84])
    return noise, float(high - low) / 2 * 100 / 255
