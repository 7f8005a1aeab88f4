"""A sheet of images for the eye: good twin and defective one side by side, and what the oracle said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.lab.training.oracle_table import Judged

IMAGES = 100
"""On one sheet: half as many pairs."""
COLUMNS = 5
GAP = 6
CAPTION = 30
_OUTLINE = (255, 0, 255)
_INK = (30, 30, 30)
_ALARM = (190, 0, 0)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """One pair with its images: (H, W, 3) RGB, and the (H, W) mask."""

    judged: Judged
    good: Pixels
    bad: Pixels
    mask: NDArray[np.bool_]


def chosen(pairs: Sequence[Shown], most: int = IMAGES // 2) -> list[Shown]:
    """At most so many pairs in which families and defects come about equally often, sorted by both."""
    left, taken = list(pairs), list[Shown]()
    families: Counter[str] = Counter()
    defects: Counter[str] = Counter()
    while left and len(taken) < most:
        common = [defects[one.judged.defect] + families[one.judged.family] for one in left]
        rarest = left.pop(common.index(min(common)))
        taken.append(rarest)
        families[rarest.judged.family] += 1
        defects[rarest.judged.defect] += 1
    return sorted(taken, key=lambda one: (one.judged.defect, one.judged.family))


def sheet(pairs: Sequence[Shown]) -> Pixels:
    """(H, W, 3) RGB of one tile a pair, :data:`COLUMNS` in a row. Images are all of one size."""
    tiles = [_tile(pair) for pair in pairs]
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / COLUMNS)
    page = np.full((rows * (height + GAP) + GAP, COLUMNS * (width + GAP) + GAP, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = GAP + index // COLUMNS * (height + GAP), GAP + index % COLUMNS * (width + GAP)
        page[top : top + height, left : left + width] = tile
    return page


def outlined(image: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The image with a thin line around the mask, far enough outside to cover nothing of it."""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8))
    contours, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(image.copy(), contours, -1, _OUTLINE, 1), np.uint8)


def _tile(pair: Shown) -> Pixels:
    height, width = pair.good.shape[:2]
    tile = np.full((height + CAPTION, 2 * width, 3), 255, np.uint8)
    tile[:height, :width] = pair.good
    tile[:height, width:] = outlined(pair.bad, pair.mask)
    one = pair.judged
    above = f"{one.defect} / {one.family} / {one.station}"
    said = "seen" if one.seen else "beside good ones" if one.compared else "NOT SEEN"
    below = f"oracle {one.good:.2f} -> {one.bad:.2f} {said}, Lab {one.visibility:.0f}"
    for text, line in ((above, 12), (below, 26)):
        colour = _INK if one.seen else _ALARM
        cv2.putText(tile, text, (2, height + line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return tile
