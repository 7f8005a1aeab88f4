"""Recipes: how one SKU is inspected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.calibration import Calibration
from agent.errors import RecipeError
from agent.frame import MAX_SKU
from agent.prompts import PromptSet

Parameter = float | int | bool | str | list[int] | list[float]


@dataclass(frozen=True, slots=True)
class Reference:
    """A photograph of a good part, kept as a media file."""

    sha256: str
    path: str
    """Relative to the media folder."""
    name: str
    """What a person calls it: the file it was enrolled from, or the frame id."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one SKU is inspected. A stored version never changes.

    ``id`` is None and ``version`` 0 until the recipe book has stored it.
    """

    sku: str
    noun: str
    prompts: PromptSet
    method: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """What differs from the method's defaults."""
    references: tuple[Reference, ...] = ()
    calibration: Calibration | None = None
    id: int | None = None
    version: int = 0

    def __post_init__(self) -> None:
        if not self.sku or len(self.sku) > MAX_SKU:
            raise RecipeError(f"a SKU has 1 to {MAX_SKU} characters, this one has {len(self.sku)}")
        if not self.noun.strip():
            raise RecipeError(f"the recipe of {self.sku!r} needs a noun for its product")

    @property
    def shots(self) -> int:
        """How many references the memory bank is built from."""
        return len(self.references)
