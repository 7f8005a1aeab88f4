"""``Regional``: a method that sees of each image only what its recipe inspects."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self, overload

import cv2
import numpy as np
import torch

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.domain.regions import EVERYWHERE, Regions, Window
from agent.methods.batching import fingerprint_of
from agent.methods.maps import FloatMap, to_pixels
from agent.methods.memory import MemoryBank
from agent.methods.memory_state import Memorised
from agent.methods.prepared import Groups, Method, Prepared, PreparedRecipe, ScalingMethod, Scored

FILL = 128
"""The level of what is not inspected, in every channel. It is the same in references and frames, so neither
it nor its edge is an anomaly. With black, the image's mean or that of its surroundings the same defects are
found."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""


def blanked(image: Image, regions: Regions) -> Image:
    """The image with what is not inspected filled; the image itself if all of it is. Raises RecipeError."""
    if not regions:
        return image
    return _filled(image, (0, 0, image.shape[1], image.shape[0]), regions)


def inspected_part(image: Image, regions: Regions) -> Image:
    """The bounding box of what is inspected, with the rest of it filled. Raises RecipeError."""
    if not regions:
        return image
    return _filled(image, box_of(regions.window, *image.shape[:2]), regions)


def _filled(image: Image, box: Box, regions: Regions) -> Image:
    """The pixels inside a box, FILL where they are not inspected."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = box
    part, inside = image[y0:y1, x0:x1], regions.mask(height, width)[y0:y1, x0:x1]
    if inside.all():
        return part
    if not inside.any():
        raise RecipeError(
            f"the regions leave no pixel of an image of {width} x {height} to inspect; make the inspected "
            "ones larger"
        )
    filled = np.full_like(part, FILL)
    cv2.copyTo(part, inside.view(np.uint8), filled)
    return filled


def box_of(window: Window, height: int, width: int) -> Box:
    """The pixels of an image of this size that a window touches, one at least."""
    left, top, right, bottom = window
    x0, y0 = min(int(left * width), width - 1), min(int(top * height), height - 1)
    return x0, y0, max(x0 + 1, int(np.ceil(right * width))), max(y0 + 1, int(np.ceil(bottom * height)))


def map_pixels(
    anomaly_map: torch.Tensor, window: Window, regions: Regions, shape: tuple[int, ...]
) -> FloatMap:
    """The map of a window at the frame's (height, width); minus infinity where nothing is inspected."""
    height, width = shape
    x0, y0, x1, y1 = box_of(window, height, width)
    pixels = to_pixels(anomaly_map, x1 - x0, y1 - y0)
    if not regions:
        return pixels
    whole = np.full((height, width), -np.inf, dtype=np.float32)
    whole[y0:y1, x0:x1] = pixels
    whole[~regions.mask(height, width)] = -np.inf
    return whole


class InspectedImages(Sequence[Image]):
    """The inspected part of each of some images, made when it is asked for: they may be many."""

    def __init__(self, images: Sequence[Image], regions: Regions) -> None:
        self._images = images
        self._regions = regions

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> InspectedImages: ...
    def __getitem__(self, index: int | slice) -> Image | InspectedImages:
        if isinstance(index, slice):
            return InspectedImages(self._images[index], self._regions)
        return inspected_part(self._images[index], self._regions)


@dataclass(frozen=True, slots=True)
class RegionalPrepared(PreparedRecipe):
    """A recipe that its method prepared from what is inspected of its references."""

    prepared: Prepared
    """By the method, which knows images of the regions' bounding box alone."""

    @property
    def regions(self) -> Regions:
        return self.recipe.regions

    @property
    def complete(self) -> bool:
        return self.prepared.complete

    def without(self, references: Collection[int]) -> Self:
        return replace(self, prepared=self.prepared.without(references))

    def without_groups(self) -> Self:
        return replace(self, prepared=self.prepared.without_groups())

    def with_recipe(self, recipe: Recipe) -> Self:
        prepared = self.prepared.with_recipe(recipe)
        return replace(self, recipe=prepared.recipe, prepared=prepared)

    @property
    def memory(self) -> tuple[MemoryBank, ...]:
        return self.prepared.memory if isinstance(self.prepared, Memorised) else ()

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> Self:
        if not isinstance(self.prepared, Memorised):
            return self.with_recipe(recipe)
        prepared = self.prepared.with_memory(recipe, banks)
        return replace(self, recipe=prepared.recipe, prepared=prepared)

    def label(self, region: torch.Tensor) -> str | None:
        return self.prepared.label(region)

    def lead(self, region: torch.Tensor) -> float:
        return self.prepared.lead(region)

    @property
    def mask_threshold(self) -> float:
        return self.prepared.mask_threshold

    @property
    def pool_fraction(self) -> float:
        """Of a map that has its lowest value wherever nothing is inspected."""
        share = float(self.regions.cells(*_SHARE_GRID).mean())
        return self.prepared.pool_fraction * share


_SHARE_GRID = (64, 64)


class Regional:
    """A method behind the regions of recipes. Recipes without any are passed on as they are.

    References and frames alike are cropped to the bounding box of what is inspected, and what is ignored in
    it is filled. So no method sees anything of it, whatever it looks at.
    """

    def __init__(self, method: Method) -> None:
        self._method = method

    @property
    def digest(self) -> str:
        return self._method.digest

    @property
    def fingerprint(self) -> str:
        return self._method.fingerprint

    def reference_side(self, recipe: Recipe) -> int | None:
        """The shorter side in pixels of a whole reference whose inspected part has the side that the method
        needs; None if every pixel may count. Raises RecipeError.
        """
        if not isinstance(self._method, ScalingMethod):
            return None
        side = self._method.reference_side(recipe)
        left, top, right, bottom = recipe.regions.window
        return None if side is None else math.ceil(side / min(right - left, bottom - top))

    def fingerprint_with(self, regions: Regions) -> str:
        """Of everything that the scores of a recipe with these regions depend on beside it."""
        return fingerprint_of(self.fingerprint, regions.digest) if regions else self.fingerprint

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> Prepared:
        regions = recipe.regions
        if not regions:
            return self._method.prepare(recipe, references, groups)
        prepared = self._method.prepare(recipe, InspectedImages(references, regions), groups)
        if isinstance(prepared, PreparedRecipe):
            prepared = replace(prepared, inspected=regions)
        return RegionalPrepared(prepared.recipe, prepared)

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        # An image under several recipes stays one array, which a backbone encodes once.
        seen: dict[tuple[int, Regions], Image] = {}
        shown, inner = [], []
        for image, one in zip(images, prepared, strict=True):
            regions = one.regions if isinstance(one, RegionalPrepared) else EVERYWHERE
            key = (id(image), regions)
            if key not in seen:
                seen[key] = inspected_part(image, regions)
            shown.append(seen[key])
            inner.append(one.prepared if isinstance(one, RegionalPrepared) else one)
        scored = self._method.score(shown, inner)
        if len(scored) != len(images):
            return scored  # the caller reports it
        return [
            _bounded(each, one.regions) if isinstance(one, RegionalPrepared) else each
            for each, one in zip(scored, prepared, strict=True)
        ]


def _bounded(scored: Scored, regions: Regions) -> Scored:
    """The same with its map at its lowest wherever nothing is inspected."""
    found = scored.anomaly_map
    if found is not None:
        inside = torch.from_numpy(regions.cells(*found.shape).copy()).to(found.device)
        found = torch.where(inside, found, found.min())
    return replace(scored, anomaly_map=found, window=regions.window)
