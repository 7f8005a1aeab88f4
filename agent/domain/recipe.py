"""Recipes: how one SKU is inspected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.frame import MAX_SKU
from agent.domain.prompts import PromptSet

Parameter = float | int | bool | str | list[int] | list[float]

ORIGINS = (
    "template",  # the words that any product gets, before anybody knew better
    "ollama",  # a language model wrote the words
    "audition",  # the words that won when they were tried against others
    "enrolment",  # references were taken up
    "recalibration",  # the same recipe with a threshold from more parts
    "import",  # a file that a person wrote or edited
    "person",  # a person's choice, such as a threshold that feedback proposed
)
"""Why a version was written."""


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
    origin: str = "template"
    """Why this version was written, one of :data:`ORIGINS`."""
    note: str | None = None
    """The reason in a sentence, such as why the template's words stand in."""
    parent: int | None = None
    """The version of the same SKU that this one was made from."""
    audition: Mapping[str, Any] | None = None
    """How its words did when they were tried, as JSON holds it; ``margin`` says by how much they won."""

    def __post_init__(self) -> None:
        if not self.sku or len(self.sku) > MAX_SKU:
            raise RecipeError(f"a SKU has 1 to {MAX_SKU} characters, this one has {len(self.sku)}")
        if not self.noun.strip():
            raise RecipeError(f"the recipe of {self.sku!r} needs a noun for its product")
        if self.origin not in ORIGINS:
            raise RecipeError(f"a recipe comes from one of {', '.join(ORIGINS)}, not from {self.origin!r}")

    @property
    def shots(self) -> int:
        """How many references the memory bank is built from."""
        return len(self.references)

    @property
    def margin(self) -> float | None:
        """By how much its words won their audition; None where there was none."""
        margin = (self.audition or {}).get("margin")
        return float(margin) if isinstance(margin, int | float) and math.isfinite(margin) else None


@dataclass(frozen=True, slots=True)
class RecipeListing:
    """One version in a list of recipes."""

    sku: str
    version: int
    active: bool
    noun: str
    method: str
    prompt_source: str
    shots: int
    threshold: float | None
    """None where the version is not calibrated."""
    origin: str
    note: str | None
    parent: int | None
    margin: float | None
    created_at: datetime
