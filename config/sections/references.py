"""``ReferencesSettings``: what is done with images of good parts."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from agent.domain.limits import MOST_DIRECTIONS, MOST_VARIANTS
from config.sections.base import Section

Variant = bool | int | float | str | list[int] | list[float]


class ReferencesSettings(Section):
    """Choice, variants and number of references, for every method that memorises them."""

    duplicates: Literal["drop", "keep"] = Field(
        "drop",
        title="Duplicates",
        description="Images that show what an earlier one shows: drop or keep. They are named in any case.",
    )
    outliers: Literal["exclude", "keep"] = Field(
        "exclude",
        title="Outliers",
        description="Images unlike all others, perhaps a defective part: exclude or keep. They are named "
        "in any case.",
    )
    rotations: Literal["auto"] | list[float] = Field(
        "auto",
        title="Rotations",
        description="auto: enrollment finds out for each product, from its references, whether parts lie in "
        "any direction, and then memorises rotated references as well; the recipe names the degrees. Or the "
        "degrees for all products, such as [90, 180, 270]. []: never, beyond what the method has.",
    )
    directions: int = Field(
        8,
        title="Directions",
        ge=1,
        le=MOST_DIRECTIONS,
        description="Most directions in which auto memorises a reference, evenly spaced over the full turn. "
        "More references get fewer directions, so that all together have at most 64 images. 1: as it is.",
    )
    brightness: list[float] = Field(
        default_factory=list,
        title="Brightness",
        description="Factors of light under which every reference is memorised as well, such as "
        "[0.9, 1.1]. []: as it is.",
    )
    max_patches: int | None = Field(
        None,
        title="Largest memory bank",
        ge=16,
        description="Most patches of all references at one scale; beyond it a coreset is kept. null: as the "
        "method has it.",
    )

    @field_validator("rotations", mode="before")
    @classmethod
    def _word(cls, rotations: object) -> object:
        """One sentence for a wrong value, instead of one for each alternative."""
        if rotations != "auto" and not isinstance(rotations, list | tuple):
            raise ValueError("should be auto or a list of degrees, such as [90, 180, 270]")
        return rotations

    @field_validator("rotations")
    @classmethod
    def _turns(cls, rotations: Literal["auto"] | list[float]) -> Literal["auto"] | list[float]:
        if rotations != "auto" and not all(math.isfinite(angle) for angle in rotations):
            raise ValueError("should be degrees, all of them finite")
        return rotations

    @field_validator("brightness")
    @classmethod
    def _factors(cls, brightness: list[float]) -> list[float]:
        if not all(math.isfinite(factor) and factor > 0.0 for factor in brightness):
            raise ValueError("should be factors above 0, such as 0.9")
        return brightness

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        lights = len(_with(1.0, self.brightness))
        if self.rotations == "auto":
            name, turned = "directions", self.directions
        else:
            name, turned = "rotations", len(_with(0.0, self.rotations))
        if turned * lights > MOST_VARIANTS:
            raise ValueError(
                f"{name}: {turned} of them under {lights} brightnesses are more than "
                f"{MOST_VARIANTS} variants of a reference"
            )
        return self

    @property
    def parameters(self) -> dict[str, Variant]:
        """Values instead of the defaults of a method that memorises references."""
        chosen: dict[str, Variant] = {}
        if self.rotations and self.rotations != "auto":
            chosen["angles"] = _with(0.0, self.rotations)
        if self.brightness:
            chosen["brightness"] = _with(1.0, self.brightness)
        if self.max_patches is not None:
            chosen["bank_limit"] = self.max_patches
        return chosen


def _with(own: float, others: list[float]) -> list[float]:
    """The reference as it is comes first, whether it is listed or not."""
    return [own, *(each for each in dict.fromkeys(others) if each != own)]
