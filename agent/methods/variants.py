"""``variants`` of a reference: the same good part rotated, and under brighter or darker light."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from agent.domain.frame import Image
from agent.domain.limits import MOST_VARIANTS


def check_variants(angles: Sequence[float], brightness: Sequence[float]) -> None:
    """Raises ValueError unless there is at least one of each, all finite, and factors above zero."""
    if not angles or not all(math.isfinite(angle) for angle in angles):
        raise ValueError("angles are degrees, one or more of them; 0 is the reference as it is")
    if not brightness or not all(math.isfinite(factor) and factor > 0.0 for factor in brightness):
        raise ValueError("brightness holds factors above 0, one or more of them; 1 is the reference as it is")
    if len(angles) * len(brightness) > MOST_VARIANTS:
        raise ValueError(
            f"{len(angles)} angles times {len(brightness)} brightnesses are "
            f"{len(angles) * len(brightness)} variants of every reference; {MOST_VARIANTS} are the most"
        )


def evenly_spaced(count: int) -> tuple[float, ...]:
    """``count`` angles over the full turn, the first of them 0."""
    return tuple(index * 360.0 / count for index in range(count))


def variants(
    image: Image, angles: Sequence[float] = (0.0,), brightness: Sequence[float] = (1.0,)
) -> Iterator[Image]:
    """The reference in every angle under every brightness, one at a time, as enrollment encodes them.

    Args:
        image: (H, W, 3) RGB.
        angles: degrees counter-clockwise, about the middle of the image.
        brightness: factors on the levels, which end at 255.
    """
    for angle in angles:
        whole = rotated(image, angle)
        for factor in brightness:
            yield brightened(whole, factor)


def rotated(image: Image, angle: float) -> Image:
    """The image rotated about its middle; bilinear, mirrored at the border, of the same size."""
    if angle % 360.0 == 0.0:
        return image
    height, width = image.shape[:2]
    centre = ((width - 1) / 2.0, (height - 1) / 2.0)
    matrix = cv2.getRotationMatrix2D(centre, angle, 1.0)
    pixels = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(pixels, dtype=np.uint8)


def brightened(image: Image, factor: float) -> Image:
    """The image with its levels times ``factor``, rounded; what would exceed 255 stays there."""
    if factor == 1.0:
        return image
    levels = np.clip(np.arange(256) * factor + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, levels), dtype=np.uint8)
