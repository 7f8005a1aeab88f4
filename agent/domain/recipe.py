"""Recipe: how one SKU is inspected; its references, its listing and its digests."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.frame import MAX_SKU
from agent.domain.prompts import GENERIC_NOUN, PromptSet, compositional_ensemble
from agent.domain.regions import EVERYWHERE, Regions

Parameter = float | int | bool | str | list[int] | list[float]

ORIGINS = (
    "template",  # the words that any product gets as long as nobody described it
    "ollama",  # a language model wrote the words
    "prompt-selection",  # these words won when candidates were tried against each other
    "enrollment",  # references were added
    "recalibration",  # the same recipe, its threshold set from more parts
    "import",  # a file that a person wrote or edited
    "person",  # a person's choice, such as a threshold that feedback proposed
    "regions",  # other parts of the image are inspected; the threshold was set again for them
)
"""Why a version was written."""
MODEL_CHANGED = "language-model-changed"
"""The event whose details name a language model and the digest that it has from then on."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of a good part, kept as a media file."""

    sha256: str
    path: str
    """Relative to the media folder."""
    name: str
    """For people: the file that it was enrolled from, or the frame id."""


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
    """The reason in a sentence, for instance why the template's words stand in."""
    parent: int | None = None
    """The version of the same SKU that this one was made from."""
    regions: Regions = EVERYWHERE
    """What is inspected of its images; by default all of it."""
    prompt_selection: Mapping[str, Any] | None = None
    """How its words did when they were tried, in JSON's types. ``margin``: by how much they won."""

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
        """By how much its words won their selection; None if they were not tried."""
        margin = (self.prompt_selection or {}).get("margin")
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
    """None if the version is not calibrated."""
    regions: Regions
    origin: str
    note: str | None
    parent: int | None
    margin: float | None
    created_at: datetime
    model: str | None = None
    """The language model that wrote its words."""
    model_digest: str | None = None
    model_changed: bool = False
    """Whether the model of that name is another one by now."""
    waiting: str | None = None
    """Why its words are the template's for now: the language model has not answered yet."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The parts of a recipe, each as the beginning of its sha256. They show later which part was edited."""

    noun: str
    method: str
    words: str
    severities: str
    references: str
    calibration: str
    regions: str = ""
    """Empty if the whole image is inspected, as in every recipe from before there were regions."""

    @classmethod
    def of(cls, recipe: Recipe) -> Digests:
        """Of a recipe with its references."""
        prompts, parameters = recipe.prompts, sorted(recipe.parameters.items())
        return cls(
            noun=_digest(recipe.noun),
            method=_digest([recipe.method, parameters]),
            words=_digest(prompts.digest),
            severities=_digest([defect.severity for defect in prompts.defects]),
            references=_digest([one.sha256 for one in recipe.references]),
            calibration=_digest(None if recipe.calibration is None else _numbers(recipe.calibration)),
            regions=recipe.regions.digest[:16] if recipe.regions else "",
        )


def template_recipe(sku: str, method: str, noun: str = GENERIC_NOUN) -> Recipe:
    """The template recipe: no references, no calibration, so its verdicts are REVIEW."""
    return Recipe(sku=sku, noun=noun, prompts=compositional_ensemble(noun), method=method)


def _numbers(calibration: Calibration) -> list[Any]:
    values = asdict(calibration)
    if values["label_margin"] is None:  # files that were exported before there was one stay as they are
        del values["label_margin"]
    return [float(v) if isinstance(v, int | float) else v for v in values.values()]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
