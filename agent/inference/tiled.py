"""``TiledMethod``: shows a method the tiles of an image one by one; makes one score and one map of them.

A method scales every image to a side of its own, so a defect of 40 pixels in 4,200 is smaller than one cell
of its grid. A tile is an image like any other to the method, which knows nothing of tiles.

**One score.** A tile with much texture scores higher when it is good than an empty one does. So enrollment
measures the usual score of each tile (:attr:`agent.domain.tiling.Tiling.tile_levels`, the geometric mean of
the references' leave-one-out scores). Each tile's score and map are scaled to the same usual score, the
median of all. Scores are positive distances whose deviation grows with them, so a factor suits them; the
threshold is set on their logarithms, too. The frame's score is the highest of its tiles. One threshold then
serves all tiles. It also knows how many there are, since it is set from the references' highest tiles.

**One map.** Where tiles overlap, the weight of each falls linearly to its edge, so there are no seams.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import overload

import numpy as np
import torch
import torch.nn.functional as F

from agent.domain.calibration import Calibration
from agent.domain.errors import ModelError
from agent.domain.form import ReferenceForm
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe
from agent.domain.tiling import SHARED, Box, Tiling
from agent.inference.batch_limit import BatchLimit, out_of_memory, release
from agent.methods.batching import require_references
from agent.methods.maps import pool_map
from agent.methods.memory import MemoryBank
from agent.methods.memory_state import Memorised
from agent.methods.null import Null
from agent.methods.parameters import override
from agent.methods.prepared import Groups, Method, Prepared, ScalingMethod, Scored

logger = logging.getLogger(__name__)

FEWEST_TOGETHER = 8
"""So many tiles go through the method at once, or as many as the batch has frames if that is more. Tiles are
views of their frame, so what a frame costs in memory does not depend on how many there are."""

MOST_GAIN = 4.0
"""A tile is scaled up by no more than this. One that shows nothing scores near zero when it is good, and a
speck of dust there would otherwise outweigh a defect elsewhere."""

MAP_SIDE = 2048
"""The longer side of a merged map is at most this, in cells."""

_NAMES = frozenset(field.name for field in fields(Tiling))


def tiling_of(parameters: Mapping[str, Parameter]) -> Tiling:
    """What the parameters of a recipe say about tiles. Raises RecipeError for a wrong value."""
    return override(Tiling(), tile_parameters(parameters))


def tile_parameters(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Those parameters of a recipe that concern tiles."""
    return {name: value for name, value in parameters.items() if name in _NAMES}


def method_parameters(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The rest of the parameters of a recipe, which its method reads."""
    return {name: value for name, value in parameters.items() if name not in _NAMES}


def without_tiles(recipe: Recipe) -> Recipe:
    """The recipe of the whole image."""
    if _NAMES.isdisjoint(recipe.parameters):
        return recipe
    return replace(recipe, parameters=method_parameters(recipe.parameters))


def with_tiles(recipe: Recipe, tiling: Tiling) -> Recipe:
    """The recipe with this tiling in place of its own; what is as by default is not written down."""
    plain = Tiling()
    chosen: dict[str, Parameter] = {"tiles": tiling.tiles}
    if tiling.tile_overlap != plain.tile_overlap:
        chosen["tile_overlap"] = tiling.tile_overlap
    if tiling.tile_memory != plain.tile_memory:
        chosen["tile_memory"] = tiling.tile_memory
    if tiling.tile_levels:
        chosen["tile_levels"] = list(tiling.tile_levels)
    return replace(recipe, parameters={**method_parameters(recipe.parameters), **chosen})


def with_default_tiles(recipe: Recipe, tiling: Tiling | None) -> Recipe:
    """The recipe with this tiling, unless it has one or there is none."""
    return recipe if tiling is None or "tiles" in recipe.parameters else with_tiles(recipe, tiling)


@dataclass(frozen=True, slots=True)
class TiledScored(Scored):
    """The score and map of a frame, and what its tiles scored before they were scaled to each other."""

    tiles: tuple[float, ...] = ()
    pooled: tuple[float, ...] = ()
    """The sum of each tile's map; empty if the method has none."""


@dataclass(frozen=True, slots=True)
class TiledPrepared:
    """A recipe prepared for each tile."""

    recipe: Recipe
    tiling: Tiling
    tiles: tuple[Prepared, ...]
    """In the order of :meth:`agent.domain.tiling.TileGrid.boxes`."""
    shared: bool
    """Whether all of them have the same memory, that of every tile of every reference."""
    form: ReferenceForm | None = None
    """As :attr:`agent.methods.prepared.PreparedRecipe.form`, of whole images."""

    @property
    def complete(self) -> bool:
        """Never with a shared memory: a reference is as many images there as it has tiles. Enrollment then
        leaves references out in groups, as it does with a bounded bank."""
        return not self.shared and all(tile.complete for tile in self.tiles)

    def without(self, references: Collection[int]) -> TiledPrepared:
        if not self.shared:
            return self._with(tuple(tile.without(references) for tile in self.tiles))
        count = len(self.tiles)
        return self._with((self.tiles[0].without(_tiles_of(references, count)),) * count)

    def without_groups(self) -> TiledPrepared:
        if self.shared:
            return self._with((self.tiles[0].without_groups(),) * len(self.tiles))
        return self._with(tuple(tile.without_groups() for tile in self.tiles))

    def with_recipe(self, recipe: Recipe) -> TiledPrepared:
        return replace(self, recipe=recipe, tiling=tiling_of(recipe.parameters))._with(self.tiles)

    def _with(self, tiles: tuple[Prepared, ...]) -> TiledPrepared:
        """With these memories, each under the recipe's thresholds at its tile's own scale."""
        plain, calibration = without_tiles(self.recipe), self.recipe.calibration
        own = [
            tile.with_recipe(
                replace(
                    plain, references=tile.recipe.references, calibration=_scaled(calibration, 1.0 / gain)
                )
            )
            for tile, gain in zip(tiles, self.gains, strict=True)
        ]
        return replace(self, tiles=tuple(own))

    @property
    def memory(self) -> tuple[MemoryBank, ...]:
        """Of the tiles one after the other, or the one that they share."""
        apart = self.tiles[:1] if self.shared else self.tiles
        return tuple(bank for tile in apart if isinstance(tile, Memorised) for bank in tile.memory)

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> TiledPrepared:
        """As :meth:`agent.methods.prepared.PreparedRecipe.with_memory`."""
        plain, count = without_tiles(recipe), len(self.tiles)
        apart = self.tiles[:1] if self.shared else self.tiles
        if self.shared:
            plain = replace(plain, references=tuple(one for one in plain.references for _ in self.tiles))
        size = len(banks) // len(apart)
        tiles = tuple(
            tile.with_memory(plain, banks[index * size : (index + 1) * size])
            for index, tile in enumerate(apart)
            if isinstance(tile, Memorised)
        )
        return replace(self, tiles=tiles * count if self.shared else tiles).with_recipe(recipe)

    def label(self, region: torch.Tensor) -> str | None:
        return self.tiles[0].label(region)

    def lead(self, region: torch.Tensor) -> float:
        return self.tiles[0].lead(region)

    @property
    def mask_threshold(self) -> float:
        return self.tiles[0].mask_threshold

    @property
    def pool_fraction(self) -> float:
        return self.tiles[0].pool_fraction

    @property
    def gains(self) -> tuple[float, ...]:
        """The factor of each tile's scores."""
        return gains(self.tiling.tile_levels) or (1.0,) * self.tiling.grid.count

    def touching(self, box: Box, width: int, height: int) -> list[tuple[Box, Prepared]]:
        """The tiles of an image of (height, width) pixels that have a pixel of ``box``, and what judges them.

        Each is judged like an image of its own, by thresholds at its own scale.
        """
        left, top, right, bottom = box
        return [
            (tile, prepared)
            for tile, prepared in zip(
                self.tiling.grid.boxes(width, height, self.tiling.tile_overlap), self.tiles, strict=True
            )
            if tile[0] < right and left < tile[2] and tile[1] < bottom and top < tile[3]
        ]

    def crops(self, image: Image) -> list[Image]:
        """The tiles of an image, views into it."""
        return crops(image, self.tiling)


def crops(image: Image, tiling: Tiling) -> list[Image]:
    """The tiles of an (H, W, 3) image, views into it."""
    boxes = tiling.grid.boxes(image.shape[1], image.shape[0], tiling.tile_overlap)
    return [image[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]


class Tiles(Sequence[Image]):
    """Some tiles of each image, cut out when they are asked for: not all images are held."""

    def __init__(self, images: Sequence[Image], tiling: Tiling, which: Sequence[int]) -> None:
        """``which``: indices of tiles; they follow each other image by image."""
        self._images, self._tiling, self._which = images, tiling, which

    def __len__(self) -> int:
        return len(self._images) * len(self._which)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        image, tile = divmod(range(len(self))[index], len(self._which))
        return crops(self._images[image], self._tiling)[self._which[tile]]


def gains(levels: Sequence[float], middle: float | None = None) -> tuple[float, ...]:
    """Factors that bring tiles of these usual scores to ``middle``, by default the median of all.

    None exceeds :data:`MOST_GAIN`.
    """
    if middle is None:
        middle = float(np.median(levels)) if levels else 0.0
    if middle <= 0.0:
        return (1.0,) * len(levels)
    return tuple(middle / max(level, middle / MOST_GAIN) for level in levels)


@dataclass(frozen=True, slots=True)
class Levelled:
    """Leave-one-out results of references, their tiles brought to one scale."""

    scores: list[float]
    pooled: list[float]
    levels: tuple[float, ...]
    """The usual score of each tile."""


def levelled(references: Sequence[TiledScored]) -> Levelled:
    """From the results of two or more references, each against the others.

    The level of a tile is the geometric mean of its scores. A reference's own scores are scaled by the
    levels of the others, as those of a later part will be by levels that it had no share in.
    """
    raw = np.array([one.tiles for one in references], dtype=np.float64)
    logs, count = np.log(np.maximum(raw, 1e-12)), len(raw)
    means = logs.mean(axis=0)
    levels = tuple(float(level) for level in np.exp(means))
    middle = float(np.median(levels))
    scores, pooled = [], []
    for one, own in zip(references, logs, strict=True):
        others = np.exp((count * means - own) / (count - 1))
        factors = gains([float(level) for level in others], middle)
        scores.append(_highest(one.tiles, factors))
        if one.pooled:
            pooled.append(_highest(one.pooled, factors))
    return Levelled(scores, pooled, levels)


def _highest(values: Sequence[float], factors: Sequence[float]) -> float:
    """The highest of the scaled values; one that is not a number does not hide behind the others."""
    scaled = [value * factor for value, factor in zip(values, factors, strict=True)]
    return next((value for value in scaled if not math.isfinite(value)), max(scaled))


def _scaled(calibration: Calibration | None, factor: float) -> Calibration | None:
    if calibration is None or factor == 1.0:
        return calibration
    place = calibration.map_threshold
    return replace(
        calibration,
        threshold=calibration.threshold * factor,
        review_below=calibration.review_below * factor,
        map_threshold=None if place is None else place * factor,
    )


class TiledMethod:
    """A method that judges recipes with tiles tile by tile. Other recipes pass through untouched."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._limit = BatchLimit()

    @property
    def digest(self) -> str:
        return self._method.digest

    @property
    def fingerprint(self) -> str:
        """The method's own: tiles are chosen by the recipe alone."""
        return self._method.fingerprint

    def reference_side(self, recipe: Recipe) -> int | None:
        """The shorter side in pixels of a reference whose tiles have the side that the method needs."""
        if not isinstance(self._method, ScalingMethod):
            return None
        side = self._method.reference_side(without_tiles(recipe))
        return None if side is None else tiling_of(recipe.parameters).whole_side(side)

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> Prepared:
        tiling, plain = tiling_of(recipe.parameters), without_tiles(recipe)
        if tiling.grid.count == 1 or isinstance(self._method, Null):  # which looks at no image
            prepared = self._method.prepare(plain, references, groups)
            return prepared if plain is recipe else prepared.with_recipe(recipe)
        require_references(recipe, references)
        every = range(tiling.grid.count)
        shared = tiling.tile_memory == SHARED
        if shared or not references:
            names = tuple(one for one in plain.references for _ in every)
            each = Tiles(references, tiling, every)
            together = [_tiles_of(group, tiling.grid.count) for group in groups]
            one = self._method.prepare(replace(plain, references=names), each, together)
            tiles = tuple(one for _ in every)
        else:
            tiles = tuple(self._method.prepare(plain, Tiles(references, tiling, (i,)), groups) for i in every)
        return TiledPrepared(recipe, tiling, tiles, shared).with_recipe(recipe)

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        divided = [(i, one) for i, one in enumerate(prepared) if isinstance(one, TiledPrepared)]
        if not divided:
            return self._method.score(images, prepared)
        whole = [i for i, one in enumerate(prepared) if not isinstance(one, TiledPrepared)]
        results: dict[int, Scored] = {}
        if whole:
            scored = self._score_once([images[i] for i in whole], [prepared[i] for i in whole])
            results.update(zip(whole, scored, strict=True))
        tiles = [crop for i, one in divided for crop in one.crops(images[i])]
        parts = [part for _, one in divided for part in one.tiles]
        scored = self._score_tiles(tiles, parts, max(FEWEST_TOGETHER, len(images)))
        for i, one in divided:
            count = len(one.tiles)
            results[i] = _merged(scored[:count], one, images[i].shape[1], images[i].shape[0])
            scored = scored[count:]
        return [results[i] for i in range(len(images))]

    def _score_once(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        scored = self._method.score(images, prepared)
        if len(scored) != len(images):
            raise ModelError(f"the method gave {len(scored)} results for {len(images)} images")
        return scored

    def _score_tiles(
        self, tiles: Sequence[Image], prepared: Sequence[Prepared], together: int
    ) -> list[Scored]:
        """Scores of tiles, at most so many at once, fewer if memory does not take them."""
        scored: list[Scored] = []
        while len(scored) < len(tiles):
            done = len(scored)
            count = self._limit.within(min(together, len(tiles) - done))
            part = slice(done, done + count)
            try:
                scored += self._score_once(tiles[part], prepared[part])
            except Exception as error:
                # Running out of memory has many types; everything else is for the inspector to judge.
                if count == 1 or not out_of_memory(error):
                    raise
                logger.warning("memory is not enough for %d tiles at once: %s", count, str(error))
            else:
                self._limit.passed(count)
                continue
            release()  # here the traceback is gone, and with it the tensors that it held
            self._limit.refused(count)
        return scored


def _tiles_of(references: Collection[int], count: int) -> list[int]:
    """The numbers of all tiles of some references in a memory that has ``count`` of each."""
    return [tile for one in sorted(references) for tile in range(one * count, (one + 1) * count)]


def _merged(scored: Sequence[Scored], prepared: TiledPrepared, width: int, height: int) -> Scored:
    """One result for a frame of (height, width) pixels from those of its tiles."""
    lacking = next((one.lacking for one in scored if one.lacking is not None), None)
    if lacking is not None:
        return Scored.without_score(lacking)
    factors = prepared.gains
    maps = [one.anomaly_map for one in scored if one.anomaly_map is not None]
    patches = [one.patches.permute(2, 0, 1) for one in scored if one.patches is not None]
    whole = named = None
    pooled: tuple[float, ...] = ()
    if len(maps) == len(scored):
        pooled = tuple(float(pool_map(one[None], prepared.pool_fraction)) for one in maps)
        planes = [one[None] * gain for one, gain in zip(maps, factors, strict=True)]
        whole = blended(planes, prepared.tiling, width, height)[0]
    if len(patches) == len(scored):
        named = F.normalize(blended(patches, prepared.tiling, width, height), dim=0).permute(1, 2, 0)
    tiles = tuple(one.score for one in scored)
    return TiledScored(_highest(tiles, factors), whole, named, tiles=tiles, pooled=pooled)


def blended(planes: Sequence[torch.Tensor], tiling: Tiling, width: int, height: int) -> torch.Tensor:
    """(C, H, W) of a frame of (height, width) pixels from the (C, h, w) planes of its tiles.

    A cell is as large as a tile's own, unless the result were larger than :data:`MAP_SIDE`.
    """
    boxes = tiling.grid.boxes(width, height, tiling.tile_overlap)
    x0, y0, x1, y1 = boxes[0]
    across, down = (max(plane.shape[axis] for plane in planes) for axis in (2, 1))
    fine = (across * width / (x1 - x0), down * height / (y1 - y0))
    factor = min(1.0, MAP_SIDE / max(fine))
    columns, rows = (max(1, round(side * factor)) for side in fine)
    total = planes[0].new_zeros(planes[0].shape[0], rows, columns, dtype=torch.float32)
    weights = torch.zeros(rows, columns, device=total.device)
    for (x0, y0, x1, y1), plane in zip(boxes, planes, strict=True):
        left, right = _cells(x0, x1, columns / width, columns)
        top, bottom = _cells(y0, y1, rows / height, rows)
        resized = F.interpolate(
            plane.float()[None], size=(bottom - top, right - left), mode="bilinear", align_corners=False
        )[0]
        vertical = _ramp(bottom - top, tiling.tile_overlap, top > 0, bottom < rows)
        horizontal = _ramp(right - left, tiling.tile_overlap, left > 0, right < columns)
        weight = (vertical[:, None] * horizontal[None]).to(total.device)
        total[:, top:bottom, left:right] += resized * weight
        weights[top:bottom, left:right] += weight
    return total / weights


def _cells(start: int, stop: int, factor: float, most: int) -> tuple[int, int]:
    first = min(round(start * factor), most - 1)
    return first, max(first + 1, min(round(stop * factor), most))


@lru_cache(maxsize=256)
def _ramp(count: int, overlap: float, before: bool, after: bool) -> torch.Tensor:
    """(count,) weights: 1 in the middle, falling over the overlap to the sides that have a neighbour."""
    reach = max(1.0, overlap * count)
    places = torch.arange(count, dtype=torch.float32) + 0.5
    weights = torch.ones(count)
    if before:
        weights = torch.minimum(weights, places / reach)
    if after:
        weights = torch.minimum(weights, (count - places) / reach)
    return weights
