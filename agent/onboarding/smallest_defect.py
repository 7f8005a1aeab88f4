"""``smallest_defect``: how small a spot a recipe finds, tried on synthetic defects of its references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.tiling import Box, TileGrid, square_grids
from agent.enrollment.progress import Progress
from agent.inference.inspector import Inspector
from agent.inference.tiled import TiledPrepared, tiling_of
from agent.methods.prepared import Prepared
from agent.onboarding.synthetic_defects import add_defect, inspected_foreground
from agent.onboarding.synthetic_defects.foreground import Mask

SPOTS = ("stain", "hole", "cut-paste")
"""Kinds of defect that are as long as wide, so that one number says how large they are."""

STRENGTHS = (0.5, 1.0)
"""Spots that a person sees at a glance: this is about how small a defect may be, not about how faint."""

TRIES = 10
FOUND = 0.8
"""A size counts as found if so many of its defects score above the threshold."""

MOST_REFERENCES = 5
STEP = math.sqrt(2.0)
"""From one size that is tried to the next."""

_SMALLEST = 6
"""In pixels; a smaller spot has too few to be more than noise."""
_LARGEST = 0.25
"""As a share of the image's shorter side."""
_DRAWN = 64
"""Defects are drawn at up to twice this size, in pixels."""
_ROOM = 4
"""A defect is drawn into a window so many times its size: drawing into 12 megapixels takes seconds."""


@dataclass(frozen=True, slots=True)
class SmallestDefect:
    """How small a spot is found on the references of a recipe, at its threshold."""

    size: int | None
    """Diameter in pixels of the image; None if not even the largest one tried is found."""
    found: int
    """Of :attr:`tried` defects of this size, or of the largest one."""
    tried: int
    """0 if no defect can be made visible on the references."""
    width: int
    height: int
    """Of the references."""
    grid: TileGrid
    """The tiles that the image was judged in."""
    overlap: float

    @property
    def side(self) -> int:
        """The longer side in pixels of what the method is shown at once."""
        return self.grid.side(self.width, self.height, self.overlap)

    def finer(self, wanted: float) -> TileGrid | None:
        """The fewest about square tiles in which a spot of ``wanted`` pixels would be found.

        What is found becomes smaller as tiles do. None if that would take too many tiles, or if nothing is
        found that could be scaled.
        """
        if self.size is None:
            return None
        for grid in square_grids(self.width, self.height):
            if self.size * grid.side(self.width, self.height, self.overlap) <= wanted * self.side:
                return grid
        return None


def smallest_defect(
    inspector: Inspector,
    prepared: Prepared,
    images: Sequence[Image],
    *,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SmallestDefect:
    """Try spots of several sizes on a few references; each reference is judged as if it were not enrolled.

    Sizes are bisected, so some forty defects are scored. A bounded memory cannot leave a reference out by
    itself; it is judged with the reference in it, where defects score lower, and so do the sizes no favour.

    Args:
        prepared: a calibrated recipe with the references ``images``, in their order.
        size: width and height of the images before they were reduced, in whose pixels sizes are given.

    Raises:
        RecipeError: the recipe has no threshold.
    """
    if prepared.recipe.calibration is None:
        raise RecipeError(f"{prepared.recipe.sku!r} has no threshold, so nothing can be found by it")
    tiling = tiling_of(prepared.recipe.parameters)
    trial = _Trial(inspector, prepared, images, seed)
    height, width = images[0].shape[:2]
    sizes = _sizes(min(width, height))
    most = TRIES * len(sizes).bit_length()
    results: dict[int, _Tries] = {}
    if progress is not None:
        progress.step("trying how small a defect is found", most)

    def is_found(index: int) -> bool:
        tries = results.setdefault(index, _Tries())
        while not tries.decided:
            tries.add(trial.finds(sizes[index], tries.done))
            if progress is not None:
                progress.advance()
        return tries.succeeds

    low, high = -1, len(sizes)  # nothing up to `low` is found, everything from `high` on is
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    last = min(high, len(sizes) - 1)
    tries = results[last]
    while tries.done < TRIES:  # what is reported has all of them
        tries.add(trial.finds(sizes[last], tries.done))
    wide, high_px = size or (width, height)
    smallest = round(sizes[high] * wide / width) if high < len(sizes) else None
    return SmallestDefect(smallest, tries.found, tries.tried, wide, high_px, tiling.grid, tiling.tile_overlap)


def _sizes(shorter: int) -> list[int]:
    count = max(0, math.floor(math.log(max(1.0, _LARGEST * shorter / _SMALLEST), STEP)))
    return [round(_SMALLEST * STEP**index) for index in range(count + 1)]


@dataclass(slots=True)
class _Tries:
    """How many defects of one size were found so far."""

    done: int = 0
    tried: int = 0
    """Those that could be made visible."""
    found: int = 0

    def add(self, outcome: bool | None) -> None:
        self.done += 1
        self.tried += outcome is not None
        self.found += bool(outcome)

    @property
    def succeeds(self) -> bool:
        """Whether the size counts as found."""
        return self.tried > 0 and self.found >= FOUND * self.tried

    @property
    def decided(self) -> bool:
        """Whether no further try can change that."""
        left = TRIES - self.done
        certain = self.tried > 0 and self.found >= FOUND * (self.tried + left)
        return left == 0 or certain or self.found + left < FOUND * (self.tried + left)


class _Trial:
    """Draws defects on a few references and asks whether they are found."""

    def __init__(self, inspector: Inspector, prepared: Prepared, images: Sequence[Image], seed: int) -> None:
        self._inspector, self._seed = inspector, seed
        chosen = np.unique(np.linspace(0, len(images) - 1, MOST_REFERENCES).round().astype(int))
        self._images = [images[index].copy() for index in chosen]
        self._products = [inspected_foreground(image, prepared.recipe.regions) for image in self._images]
        self._prepared = [
            prepared.without({int(index)}) if prepared.complete else prepared for index in chosen
        ]

    def finds(self, size: int, number: int) -> bool | None:
        """Whether the ``number``-th defect of this size is found; None if it cannot be made visible."""
        which = number % len(self._images)
        image, product = self._images[which], self._products[which]
        rng = np.random.default_rng([self._seed, size, number])
        rows, columns = _window(rng, product, size)
        window = image[rows, columns].copy()
        spotted = _with_spot(window, product[rows, columns], size, number)
        if spotted is None:
            return None
        image[rows, columns] = spotted
        try:
            box = _changed_box(spotted != window, rows, columns)
            return self._is_found(image, box, self._prepared[which])
        finally:
            image[rows, columns] = window

    def _is_found(self, image: Image, box: Box, prepared: Prepared) -> bool:
        """Whether the image fails. Of one in tiles, those with the defect are judged: the others are good."""
        height, width = image.shape[:2]
        parts = [((0, 0, width, height), prepared)]
        if isinstance(prepared, TiledPrepared):
            parts = prepared.touching(box, width, height)
        scored = self._inspector.score(
            [image[y0:y1, x0:x1] for (x0, y0, x1, y1), _ in parts], [one for _, one in parts]
        )
        return any(
            one.score > calibration.threshold
            for one, (_, judge) in zip(scored, parts, strict=True)
            if (calibration := judge.recipe.calibration) is not None
        )


def _with_spot(window: Image, product: Mask, size: int, number: int) -> Image | None:
    """The window with a spot of ``size`` pixels; None if none can be made visible there.

    A large spot is drawn at a smaller scale and enlarged: it has no detail that would be lost, and drawing
    takes time with the square of its size.
    """
    height, width = window.shape[:2]
    factor = max(1, size // _DRAWN)
    scaled = (max(16, width // factor), max(16, height // factor))
    small, room = window, product
    if factor > 1:
        small = np.asarray(cv2.resize(window, scaled, interpolation=cv2.INTER_AREA), np.uint8)
        room = cv2.resize(product.astype(np.uint8), scaled, interpolation=cv2.INTER_NEAREST) > 0
    share = math.pi / 4.0 * (size / factor) ** 2 / room.size
    first = number % len(SPOTS)
    for kind in SPOTS[first:] + SPOTS[:first]:
        try:
            made = add_defect(
                small, number, kinds=(kind,), foreground=room, areas=(share, share), strengths=STRENGTHS
            )
        except ValueError:  # for instance, a patch of a plain surface pasted onto it
            continue
        if factor == 1:
            return made.image
        change = made.image.astype(np.float32) - small
        large = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(window + np.rint(large), 0, 255).astype(np.uint8)
    return None


def _changed_box(changed: Mask, rows: slice, columns: slice) -> Box:
    """The box in the image of what changed in a window of it, (h, w, 3)."""
    y, x = np.flatnonzero(changed.any(axis=(1, 2))), np.flatnonzero(changed.any(axis=(0, 2)))
    return (
        columns.start + int(x[0]),
        rows.start + int(y[0]),
        columns.start + int(x[-1]) + 1,
        rows.start + int(y[-1]) + 1,
    )


def _window(rng: np.random.Generator, product: Mask, size: int) -> tuple[slice, slice]:
    """Rows and columns around a pixel of the product."""
    height, width = product.shape
    x, y = width // 2, height // 2
    for _ in range(1000):
        column, row = int(rng.integers(width)), int(rng.integers(height))
        if product[row, column]:
            x, y = column, row
            break
    side = max(32, _ROOM * size)
    left, top = (max(0, min(at - side // 2, end - side)) for at, end in ((x, width), (y, height)))
    return slice(top, min(height, top + side)), slice(left, min(width, left + side))
