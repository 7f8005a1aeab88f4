"""estimate_foreground(): where the product is in an image, from the image alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.domain.regions import Regions

Mask = NDArray[np.bool_]

WORKING_SIDE = 160
"""The estimate is made at this longest side, in pixels: outlines need no more, and noise averages out."""

RING = 0.04
"""The border of the image, as a share of its shorter side, is taken as background."""

BACKGROUND_COLOURS = 4
"""So many colours describe a background: a belt has stripes, a mat has lines."""

LEAST_DISTANCE = 7.0
"""In Lab units: what is nearer to a background colour is background, however uniform the image is."""

SHARES = (0.03, 0.92)
"""An outline of less or more than these shares of the image is rejected."""

LEAST_STEP = 0.35
"""An outline is rejected if, across its edge, the distance to the background falls by less than this share of
the distance inside: that is a highlight, not a product."""

LEAST_SOLIDITY = 0.45
"""An outline that fills less than this share of its convex hull is rejected: that is texture, not a
product."""


def estimate_foreground(image: Image, box: tuple[int, int, int, int] | None = None) -> Mask:
    """(H, W) True on the product; everywhere for a surface that fills the image.

    The colours of the border are the background's. A region far from all of them, in one piece and without
    holes, is the product. If border and middle do not differ, or the regions that differ are scattered, the
    whole image is the product.

    Args:
        image: (H, W, 3) RGB.
        box: x0, y0, x1, y1 in pixels if a detector located the product. The outline is sought inside it;
            without an outline the box itself is the result.
    """
    height, width = image.shape[:2]
    if box is not None:
        x0, y0, x1, y1 = box
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return np.ones((height, width), np.bool_)
        inside = np.zeros((height, width), np.bool_)
        found = _outline(image)
        part = found[y0:y1, x0:x1] if found is not None else np.ones((y1 - y0, x1 - x0), np.bool_)
        inside[y0:y1, x0:x1] = part if part.mean() > SHARES[0] else True
        return inside
    found = _outline(image)
    return np.ones((height, width), np.bool_) if found is None else found


def inspected_foreground(
    image: Image, inspected: Regions, box: tuple[int, int, int, int] | None = None
) -> Mask:
    """(H, W) True on what is inspected of the product; on all that is inspected if they do not meet."""
    mask = inspected.mask(*image.shape[:2])
    product = estimate_foreground(image, box) & mask
    return product if product.any() else mask


def _outline(image: Image) -> Mask | None:
    height, width = image.shape[:2]
    factor = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    lab = np.asarray(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), (0, 0), 1.2), np.float32)
    ring = _ring(size[1], size[0])
    distance = _distance(lab, _colours(lab[ring]))
    threshold = max(_otsu(distance), float(np.quantile(distance[ring], 0.98)) * 1.2, LEAST_DISTANCE)
    mask = _one_piece(distance > threshold)
    if not SHARES[0] <= mask.mean() <= SHARES[1] or _solidity(mask) < LEAST_SOLIDITY:
        return None
    if _step(distance, mask) < LEAST_STEP:
        return None
    large = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0.5, np.bool_)


def _ring(height: int, width: int) -> Mask:
    thick = max(2, round(RING * min(height, width)))
    ring = np.ones((height, width), np.bool_)
    ring[thick:-thick, thick:-thick] = False
    return ring


def _colours(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, 3) means of the border's colours: Lloyd's iterations from quantiles of lightness, so that the
    same frame always gives the same."""
    order = np.argsort(pixels[:, 0], kind="stable")
    centres = np.stack([part.mean(0) for part in np.array_split(pixels[order], BACKGROUND_COLOURS)])
    for _ in range(8):
        nearest = np.square(pixels[:, None] - centres[None]).sum(2).argmin(1)
        for index in range(len(centres)):
            if (nearest == index).any():
                centres[index] = pixels[nearest == index].mean(0)
    return np.asarray(centres, np.float32)


def _distance(lab: NDArray[np.float32], colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) Lab distance to the nearest colour."""
    return np.asarray(np.sqrt(np.square(lab[:, :, None] - colours).sum(3)).min(2), np.float32)


def _otsu(values: NDArray[np.float32]) -> float:
    top = max(float(values.max()), 1e-6)
    levels = np.asarray(values * (255.0 / top), np.uint8)
    return float(cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]) * top / 255.0 * 0.7


def _one_piece(mask: Mask) -> Mask:
    """Specks and gaps closed, holes filled, only the largest pieces kept."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel[1:-1, 1:-1])
    contours, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(opened)
    largest = max((cv2.contourArea(contour) for contour in contours), default=0.0)
    for contour in contours:
        if cv2.contourArea(contour) >= 0.2 * largest:
            cv2.drawContours(filled, [contour], -1, 1, cv2.FILLED)
    return filled > 0


def _step(distance: NDArray[np.float32], mask: Mask) -> float:
    """How much of the distance inside falls away within a few pixels across the outline."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    grown = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    shrunk = cv2.erode(mask.astype(np.uint8), kernel) > 0
    inner, outer = mask & ~shrunk, grown & ~mask
    if not inner.any() or not outer.any():
        return 0.0
    inside = float(distance[inner].mean())
    return (inside - float(distance[outer].mean())) / max(inside, 1e-6)


def _solidity(mask: Mask) -> float:
    """Share that the mask fills of the convex hulls of its pieces."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hulls = np.zeros(mask.shape, np.uint8)
    for contour in contours:
        cv2.fillConvexPoly(hulls, cv2.convexHull(contour), 1)
    return float(mask.sum()) / max(1.0, float(hulls.sum()))
