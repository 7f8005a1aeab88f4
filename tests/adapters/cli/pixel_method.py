"""A method without weights: blurred pixels against those of the references. Quick, and equal everywhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.parameters import override
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.registry import MethodModels

SIZE = 64


@dataclass(frozen=True)
class PixelParameters:
    """``gain``: a factor on scores. ``aspect``: read, as real methods do, and without effect."""

    gain: float = 1.0
    aspect: str = "square"

    def __post_init__(self) -> None:
        if self.gain <= 0.0:
            raise ValueError("gain is above 0")


PRESET = PixelParameters()


def build(models: MethodModels, parameters: PixelParameters) -> PixelMethod:
    """As the registry builds a method."""
    return PixelMethod(parameters)


@dataclass(frozen=True, slots=True)
class PixelPrepared(PreparedRecipe):
    """References as small images, (k, SIZE, SIZE, 3)."""

    bank: NDArray[np.float32] | None
    gain: float = 1.0

    def without(self, references: Collection[int]) -> Self:
        assert self.bank is not None
        return replace(self, bank=np.delete(self.bank, sorted(references), axis=0))

    @property
    def mask_threshold(self) -> float:
        return 0.05


class PixelMethod:
    """The largest difference to the nearest reference; without any, to the image's mean colour."""

    digest = "pixels"
    fingerprint = "pixels"

    def __init__(self, defaults: PixelParameters = PRESET, *, references_only: bool = False) -> None:
        """``references_only``: without references there is no score."""
        self._defaults = defaults
        self._references_only = references_only

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> PixelPrepared:
        assert len(references) == len(recipe.references), "a recipe names each of its references"
        gain = override(self._defaults, recipe.parameters).gain
        return PixelPrepared(
            recipe, np.stack([_small(one) for one in references]) if references else None, gain
        )

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        return [self._score(_small(image), recipe) for image, recipe in zip(images, prepared, strict=True)]

    def _score(self, small: NDArray[np.float32], prepared: Prepared) -> Scored:
        if self._references_only and not prepared.recipe.references:
            return Scored.without_score("pixels are compared with references; enroll some")
        return _score(small, prepared)


def _small(image: Image) -> NDArray[np.float32]:
    blurred = cv2.GaussianBlur(image, (0, 0), max(1.0, image.shape[0] / 96))
    small = cv2.resize(blurred, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def _score(small: NDArray[np.float32], prepared: Prepared) -> Scored:
    assert isinstance(prepared, PixelPrepared)
    bank = small.mean((0, 1))[None, None, None] if prepared.bank is None else prepared.bank
    distance = np.abs(bank - small).min(0).max(-1)
    return Scored(prepared.gain * (float(distance.max()) + 1e-3), torch.from_numpy(distance))
