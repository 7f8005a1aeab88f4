"""``ImageForm``, ``ReferenceForm``: what images are like whatever they show, and how a frame differs in it.

A frame of another camera, of a camera that was set up anew or of another software scores high, whatever the
part is like. These figures tell such frames from defective parts. They are rough on purpose: light and parts
vary, and a sentence that comes with good frames is worth nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image

_SIDE = 512
"""Images whose shorter side is at least twice as long are measured at a whole fraction of their size."""
_CELLS = 16
"""Colours are compared in so many cells a side."""
_GREY, _COLOURED = 0.5, 2.0
"""Mean difference between the highest and the lowest channel, in levels: at most of a grey image, at least of
one in colour."""
_ASPECT = 1.04
_SIZE = 1.5
_LIGHT = 0.5
_SHARPNESS = 0.5
"""Of the logarithm, and as much again over the root of the number of references: few do not show how much
good images differ."""
_EDGES = 0.99
"""The share of second derivatives that are not edges."""
_ENOUGH = 5
"""Fewer references do not show which colours belong to the station and which to a part."""
_TINT = 2.0
"""Colours of a cell that are nearer to grey, in levels, say nothing about the order of the channels."""
_MOST = 0.65
"""So many of the cells that say something have the order turned, if red and blue are swapped."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """Figures of one image."""

    width: int
    height: int
    chroma: float
    """Mean difference between the highest and the lowest channel of a pixel, in levels; grey: 0."""
    light: float
    """Mean level."""
    sharpness: float
    """Logarithm of the steepest edges over those of the same image at an eighth of the size. It does not
    change with contrast, and little with how much of the image is part."""
    red_blue: bytes
    """Red minus blue of each cell, in levels from -128 to 127, as int8."""

    @classmethod
    def of(cls, image: Image) -> Self:
        """Measure a (H, W, 3) RGB image."""
        height, width = image.shape[:2]
        factor = max(1, min(height, width) // _SIDE)  # a whole number: the quickest reduction
        small = _resized(image, max(1, width // factor), max(1, height // factor))
        grey = coarse = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        for _ in range(3):
            coarse = np.asarray(cv2.pyrDown(coarse), np.uint8)
        cells = _resized(small, 4 * _CELLS, 4 * _CELLS).astype(np.int16)
        tints = (cells[..., 0] - cells[..., 2]).reshape(_CELLS, 4, _CELLS, 4).mean(axis=(1, 3))
        return cls(
            width,
            height,
            chroma=float((cells.max(axis=2) - cells.min(axis=2)).mean()),
            light=float(cells.mean()),
            sharpness=math.log((_edges(grey) + 1.0) / (_edges(coarse) + 1.0)),
            red_blue=np.clip(tints.round(), -128, 127).astype(np.int8).tobytes(),
        )


@dataclass(frozen=True, slots=True)
class ReferenceForm:
    """The figures of all references of a recipe, summed up."""

    count: int
    sizes: tuple[tuple[int, int], ...]
    """Width and height in pixels, each once."""
    chroma: tuple[float, float]
    """The lowest and the highest, as of the following."""
    light: tuple[float, float]
    sharpness: tuple[float, float]
    tints: bytes
    """The usual red minus blue of each cell, as int8; 0 if it says nothing about the channels' order."""

    @classmethod
    def among(cls, forms: Sequence[ImageForm]) -> Self | None:
        """None without references."""
        if not forms:
            return None
        known = np.array([np.frombuffer(form.red_blue, np.int8) for form in forms], np.float32)
        usual, spread = np.median(known, axis=0), known.max(axis=0) - known.min(axis=0)
        # A cell with the same tint in all references shows the station, not a part.
        telling = (np.abs(usual) > np.maximum(_TINT, spread)) & (len(forms) >= _ENOUGH)
        return cls(
            count=len(forms),
            sizes=tuple(sorted({(form.width, form.height) for form in forms})),
            chroma=_range(form.chroma for form in forms),
            light=_range(form.light for form in forms),
            sharpness=_range(form.sharpness for form in forms),
            tints=np.where(telling, usual, 0).astype(np.int8).tobytes(),
        )

    def differences(self, frame: ImageForm) -> tuple[str, ...]:
        """What of a frame is unlike every reference, in words; empty for one that is like them."""
        found = [self._colour(frame), self._aspect(frame), self._size(frame), self._light(frame)]
        if not (found[1] or found[2]):  # at another size detail means something else
            found.append(self._sharpness(frame))
        return tuple(each for each in found if each)

    def _colour(self, frame: ImageForm) -> str | None:
        lowest, highest = self.chroma
        if frame.chroma < _GREY and lowest > _COLOURED:
            return "it is grey and they are in colour"
        if frame.chroma > _COLOURED and highest < _GREY:
            return "it is in colour and they are grey"
        usual = np.frombuffer(self.tints, np.int8).astype(np.float32)
        telling = usual != 0
        if np.count_nonzero(telling) < _CELLS:
            return None
        found = np.frombuffer(frame.red_blue, np.int8).astype(np.float32)
        turned = np.abs(found + usual) < 0.5 * np.abs(found - usual)
        return "its red and blue are swapped" if turned[telling].mean() >= _MOST else None

    def _aspect(self, frame: ImageForm) -> str | None:
        own = frame.width / frame.height
        nearest = min((w / h for w, h in self.sizes), key=lambda each: abs(math.log(each / own)))
        if abs(math.log(nearest / own)) <= math.log(_ASPECT):
            return None
        return f"its width is {own:.2f} times its height and theirs {nearest:.2f} times"

    def _size(self, frame: ImageForm) -> str | None:
        own = min(frame.width, frame.height)
        width, height = min(self.sizes, key=lambda each: abs(math.log(min(each) / own)))
        if 1.0 / _SIZE <= own / min(width, height) <= _SIZE:
            return None
        return f"it has {frame.width} x {frame.height} pixels and they {width} x {height}"

    def _light(self, frame: ImageForm) -> str | None:
        lowest, highest = self.light
        if frame.light < _LIGHT * lowest:
            return f"it is much darker (mean level {frame.light:.0f}, theirs from {lowest:.0f})"
        if 255.0 - frame.light < _LIGHT * (255.0 - highest):
            return f"it is much brighter (mean level {frame.light:.0f}, theirs to {highest:.0f})"
        return None

    def _sharpness(self, frame: ImageForm) -> str | None:
        lowest, highest = self.sharpness
        margin = _SHARPNESS * (1.0 + 1.0 / math.sqrt(self.count))
        if frame.sharpness < lowest - margin:
            return "it is much less sharp"
        if frame.sharpness > highest + margin:
            return "it is much sharper or noisier"
        return None


def _range(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


def _edges(grey: NDArray[np.uint8]) -> int:
    """The second derivative that :data:`_EDGES` of all pixels do not reach, in levels."""
    strength = cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S))
    counts = np.cumsum(cv2.calcHist([strength], [0], None, [256], [0, 256]))
    return int(np.searchsorted(counts, _EDGES * counts[-1]))


def _resized(image: Image, width: int, height: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
