"""ImageSimilarity: how alike images are, after small shifts and changes of light are removed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image

SIDE = 128
"""Images are compared at this side length: encoding and noise change less than its pixels show."""
_BLOCK = SIDE // 16
"""Differences are averaged over blocks of this side length in pixels."""
_BORDER = SIDE // 16
"""This border is not compared: a shift brings other content into the image there."""
_REACH = SIDE / 32
"""Largest shift that is removed, in pixels of the comparison."""
_STEPS = 4
_SAME_LEVELS = 0.75
"""Below so many of 255 levels it is the same image, however alike all others are."""
_OTHER_LEVELS = 4.0
"""Above so many levels it is another image, however different all others are."""
_NEAREST = 8
"""So many earlier images are compared in full, chosen by their thumbnails."""
_TYPICAL_PAIRS = 128

Plane = NDArray[np.float32]


class ImageSimilarity:
    """Distances between the images of one set.

    A distance is the largest difference of any block of the two images, in levels. Before, one of them is
    shifted (up to 3 % of the side), and its gain and offset are changed, to fit the other best. Two exposures
    of one part differ nowhere; two parts differ somewhere, if only in how they lie.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self._planes = [_plane(image) for image in images]
        thumbnails = [cv2.resize(plane, (16, 16), interpolation=cv2.INTER_AREA) for plane in self._planes]
        self._thumbnails = np.array(thumbnails, np.float32).reshape(len(thumbnails), 256)

    def candidates(self, index: int) -> list[int]:
        """The earlier images that may show the same, in their order."""
        if index <= _NEAREST:
            return list(range(index))
        apart = np.square(self._thumbnails[:index] - self._thumbnails[index]).sum(axis=1)
        return sorted(int(each) for each in np.argpartition(apart, _NEAREST)[:_NEAREST])

    def same(self, one: int, other: int, share: float) -> bool:
        """Whether two images are closer than ``share`` of the typical distance, or equal but for noise."""
        return self.distance(one, other) <= min(max(share * self.typical, _SAME_LEVELS), _OTHER_LEVELS)

    def distance(self, one: int, other: int) -> float:
        """In levels of 255."""
        return _largest_difference(self._planes[one], self._planes[other])

    @cached_property
    def typical(self) -> float:
        """The median distance over the pairs of the set, or over a seeded sample of them if they are many.

        0 if there are fewer than three images: nothing typical is known.
        """
        count = len(self._planes)
        if count < 3:
            return 0.0
        pairs = [(i, j) for i in range(count) for j in range(i)] if count <= 64 else []
        rng = np.random.default_rng(0)
        if pairs and len(pairs) > _TYPICAL_PAIRS:
            pairs = [pairs[k] for k in rng.choice(len(pairs), _TYPICAL_PAIRS, replace=False)]
        elif not pairs:
            drawn = (rng.choice(count, 2, replace=False) for _ in range(_TYPICAL_PAIRS))
            pairs = [(int(i), int(j)) for i, j in drawn]
        return float(np.median([self.distance(i, j) for i, j in pairs]))


def _plane(image: Image) -> Plane:
    """(SIDE, SIDE) lightness in levels, a little blurred."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0), np.float32)


def _largest_difference(one: Plane, other: Plane) -> float:
    """Gauss-Newton over shift, gain and offset, from the phase correlation's peak (Lucas and Kanade 1981)."""
    inside = (slice(_BORDER, -_BORDER),) * 2
    slopes = [cv2.Sobel(one, cv2.CV_32F, dx, 1 - dx, scale=1 / 8)[inside] for dx in (1, 0)]
    columns = [*slopes, one[inside], np.ones_like(one[inside])]
    basis = np.stack([np.asarray(column, np.float64).ravel() for column in columns], axis=1)
    normal = basis.T @ basis + 1e-3 * np.eye(4)
    shift = _coarse_shift(one, other)
    remaining = np.zeros_like(basis[:, 0])
    for _ in range(_STEPS):
        matrix = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float64)
        moved = cv2.warpAffine(
            other, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        difference = (moved - one)[inside].astype(np.float64).ravel()
        fitted = np.linalg.solve(normal, basis.T @ difference)
        remaining = difference - basis @ fitted
        further = shift - fitted[:2]
        if np.abs(further).max() > _REACH:
            break
        shift = further
    side = SIDE - 2 * _BORDER
    blocks = cv2.blur(remaining.reshape(side, side), (_BLOCK, _BLOCK))
    return float(np.abs(blocks).max())


def _coarse_shift(one: Plane, other: Plane) -> NDArray[np.float64]:
    window = cv2.createHanningWindow((SIDE, SIDE), cv2.CV_32F)
    # OpenCV multiplies the window into its arguments.
    shift, _ = cv2.phaseCorrelate(one.copy(), other.copy(), window)
    found = np.array(shift, np.float64)
    return found if np.abs(found).max() <= _REACH else np.zeros(2)
