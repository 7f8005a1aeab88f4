"""What a method is: it prepares a recipe once and scores frames with it many times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import torch

from agent.domain.frame import Image
from agent.domain.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Scored:
    """What a method says of one frame, before any threshold."""

    score: float
    anomaly_map: torch.Tensor | None = None
    """(h, w) on the method's own grid, the whole frame; None where the method has no map."""
    patches: torch.Tensor | None = None
    """(h', w', D) unit vectors comparable with text, to name a region; None where there are none."""
    lacking: str | None = None
    """What the recipe lacks before a frame of it can be scored, a sentence that says how to mend it; the
    score is no number then. A product that was just met is nobody's error: its frames are for review."""

    @classmethod
    def without_score(cls, lacking: str) -> Self:
        """Of a recipe that is not ready; see :attr:`lacking`."""
        return cls(math.nan, lacking=lacking)


class Prepared(Protocol):
    """A recipe with its words embedded and its references memorised."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def complete(self) -> bool:
        """Whether all that the references gave is memorised; a bank with a bound may hold a part of it."""
        ...

    def without_reference(self, reference: int) -> Prepared:
        """The same as if the reference of that index had never been enrolled; only where it is complete."""
        ...

    def with_recipe(self, recipe: Recipe) -> Prepared:
        """The same for a recipe that differs in nothing prepared: calibration, id, version, SKU."""
        ...

    def label(self, region: torch.Tensor) -> str | None:
        """The named defect that fits a region's (D,) feature best."""
        ...

    @property
    def mask_threshold(self) -> float:
        """Pixels above this are defective where no calibration says otherwise."""
        ...

    @property
    def pool_fraction(self) -> float:
        """Share of the map whose mean sums it up (0: the maximum)."""
        ...


class Method(Protocol):
    """One way to score frames."""

    @property
    def digest(self) -> str:
        """Of the weights that the scores depend on."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of all that scores depend on beside the recipe: method, default parameters, weights."""
        ...

    def prepare(self, recipe: Recipe, references: Sequence[Image]) -> Prepared:
        """Embed the words and memorise the references. Raises RecipeError, ModelError."""
        ...

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Score a batch whose frames may have different recipes; the backbone pass is shared."""
        ...


@runtime_checkable
class Turning(Protocol):
    """A method that can memorise references turned: it knows the parameter ``angles``."""

    def orientations(self, recipe: Recipe) -> tuple[float, ...]:
        """Degrees in which the references of a recipe are memorised. Raises RecipeError."""
        ...

    def comparing(self, recipe: Recipe) -> Recipe:
        """The recipe with every patch in memory, out of which a reference is left at no cost, and with
        distances as they are: by these it is decided what turning is worth.
        """
        ...
