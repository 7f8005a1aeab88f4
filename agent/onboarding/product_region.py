"""find_product_region(): the part of the image that a product takes, from images of good parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from agent.domain.frame import Image
from agent.domain.regions import Polygon, rectangle
from agent.onboarding.synthetic_defects import estimate_foreground

MOST_IMAGES = 24
"""So many images, spread over all, show where products lie; each takes a few milliseconds."""

LEAST_FOUND = 0.5
"""If the product stands out in fewer of the images than this share, nothing is proposed."""

MARGIN = 0.04
"""Around the product, as a share of the image's sides: the next part may lie a little further out."""

LARGEST = 0.75
"""A part that is larger than this share of the image is not worth a region."""

Boxes = Callable[[Image], tuple[int, int, int, int] | None]
"""Gives the x0, y0, x1, y1 of the product in pixels; None if it is not found."""


def find_product_region(images: Sequence[Image], boxes: Boxes | None = None) -> Polygon | None:
    """The rectangle that holds the product in all images, with a margin; None if it fills or leaves them.

    Args:
        boxes: of a detector; without one the product is what differs in colour from the border, see
            :func:`agent.onboarding.synthetic_defects.estimate_foreground`. On photographs of parts this found
            outlines where the patches of the bundled model did not.
    """
    count = min(len(images), MOST_IMAGES)
    sample = [images[index * len(images) // count] for index in range(count)]
    found = [extent for extent in (_extent(image, boxes) for image in sample) if extent is not None]
    if len(found) < max(1.0, LEAST_FOUND * count):
        return None
    sides = np.array(found)
    # In hundredths, outwards: what people read and type.
    least, most = sides[:, :2].min(axis=0) - MARGIN, sides[:, 2:].max(axis=0) + MARGIN
    left, top = (max(math.floor(side), 0) for side in np.round(100.0 * least, 6))
    right, bottom = (min(math.ceil(side), 100) for side in np.round(100.0 * most, 6))
    if (right - left) * (bottom - top) > LARGEST * 100**2:
        return None
    return rectangle(left / 100, top / 100, (right - left) / 100, (bottom - top) / 100)


def _extent(image: Image, boxes: Boxes | None) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of the product as fractions; None if it does not stand out."""
    height, width = image.shape[:2]
    if boxes is not None:
        box = boxes(image)
        return None if box is None else (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    product = estimate_foreground(image)
    if product.all():
        return None
    rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
