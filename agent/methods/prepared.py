"""``Method`` and ``Prepared``: a method prepares a recipe once and scores frames with it many times."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.domain.regions import EVERYWHERE, WHOLE, Regions, Window

if TYPE_CHECKING:
    # only named in annotations: commands that need no model stay quick to start
    import torch

    from agent.domain.form import ReferenceForm
    from agent.methods.memory import MemoryBank


Groups = Sequence[Collection[int]]
"""References that will be left out together, by their numbers; each is in one group."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The score and map that a method gives one frame, before any threshold."""

    score: float
    anomaly_map: torch.Tensor | None = None
    """(h, w) on the method's own grid, the whole ``window``; None if the method has no map."""
    patches: torch.Tensor | None = None
    """(h', w', D) unit vectors comparable with text, of the ``window``, to name a region; None if there are
    none."""
    lacking: str | None = None
    """What the recipe lacks before its frames can be scored, a sentence with a remedy; the score is NaN then.
    A product that was just met is not an error: its frames are for review."""
    window: Window = WHOLE
    """The part of the frame that map and patches show."""

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
        """Whether all patches of all references are memorised; a bounded bank may hold a part of them."""
        ...

    def without(self, references: Collection[int]) -> Prepared:
        """The same as if the references of these indices had never been enrolled.

        Exact if complete. Otherwise they have to be a group that the recipe was prepared with.
        """
        ...

    def without_groups(self) -> Prepared:
        """The same without what only :meth:`without` needs; nothing more can then be left out exactly."""
        ...

    def with_recipe(self, recipe: Recipe) -> Prepared:
        """The same for a recipe that differs in nothing prepared: calibration, id, version, SKU."""
        ...

    def label(self, region: torch.Tensor) -> str | None:
        """The named defect that fits a region's (D,) feature best."""
        ...

    def lead(self, region: torch.Tensor) -> float:
        """By how much that name beats the next one."""
        ...

    @property
    def mask_threshold(self) -> float:
        """Pixels above this are defective if no calibration sets another threshold."""
        ...

    @property
    def pool_fraction(self) -> float:
        """Share of the map whose mean sums it up (0: the maximum)."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedRecipe:
    """Base class of prepared recipes: it memorises no reference and names no region."""

    recipe: Recipe
    form: ReferenceForm | None = field(default=None, kw_only=True)
    """What its references are like; None without references."""
    inspected: Regions = field(default=EVERYWHERE, kw_only=True)
    """What is inspected of its images, which show the bounding box of that. A method sums up a map over these
    cells alone: those of the filled rest would dilute a mean, and to words they may look like anything."""

    @property
    def complete(self) -> bool:
        return True

    def without(self, references: Collection[int]) -> Self:
        """Nothing is memorised: references only set the threshold."""
        return self

    def without_groups(self) -> Self:
        return self

    def with_recipe(self, recipe: Recipe) -> Self:
        return replace(self, recipe=recipe)

    @property
    def memory(self) -> tuple[MemoryBank, ...]:
        """All that is kept of the references."""
        return ()

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> Self:
        """The same, prepared without references, for ``recipe`` with these :attr:`memory` banks."""
        return self.with_recipe(recipe)

    def label(self, region: torch.Tensor) -> str | None:
        return None

    def lead(self, region: torch.Tensor) -> float:
        return 0.0

    @property
    def mask_threshold(self) -> float:
        return 0.5

    @property
    def pool_fraction(self) -> float:
        return 0.0


class Method(Protocol):
    """One way to score frames."""

    @property
    def digest(self) -> str:
        """Of the weights that the scores depend on."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that scores depend on beside the recipe: method, default parameters, weights."""
        ...

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> Prepared:
        """Embed the words and memorise the references. Raises RecipeError, ModelError.

        Args:
            groups: what :meth:`Prepared.without` will be asked to leave out; a bounded memory then knows what
                takes their places.
        """
        ...

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Score a batch whose frames may have different recipes; the backbone pass is shared."""
        ...


@runtime_checkable
class RotatingMethod(Protocol):
    """A method that can memorise rotated references: it has the parameter ``angles``."""

    def orientations(self, recipe: Recipe) -> tuple[float, ...]:
        """Degrees in which the references of a recipe are memorised. Raises RecipeError."""
        ...

    def comparing(self, recipe: Recipe) -> Recipe:
        """The recipe with every patch in memory and with plain distances, so that leaving a reference out is
        exact. Enrollment decides by such scores whether rotated references help.
        """
        ...


@runtime_checkable
class ScalingMethod(Protocol):
    """A method that resizes references to sides of its own before it looks at them."""

    def reference_side(self, recipe: Recipe) -> int | None:
        """The shorter side in pixels at which references serve as well as at their own size; None if every
        pixel may count. Raises RecipeError.
        """
        ...
