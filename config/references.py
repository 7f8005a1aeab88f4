"""What becomes of photographs of good parts."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

from config.section import Section

Variant = bool | int | float | str | list[int] | list[float]


class ReferencesSettings(Section):
    """Choice, variants and number of references, for every method that memorises them."""

    duplicates: Literal["drop", "keep"] = Field(
        "drop",
        title="Duplicates",
        description="Pictures that show what an earlier one shows: drop or keep. They are named in any case.",
    )
    outliers: Literal["exclude", "keep"] = Field(
        "exclude",
        title="Outliers",
        description="Pictures unlike all others, perhaps a defective part: exclude or keep. They are named "
        "in any case.",
    )
    rotations: list[float] = Field(
        default_factory=list,
        title="Rotations",
        description="Degrees by which every reference is memorised turned as well, such as [90, 180, 270]. "
        "[]: as the method has it.",
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

    @field_validator("rotations")
    @classmethod
    def _turns(cls, rotations: list[float]) -> list[float]:
        if not all(math.isfinite(angle) for angle in rotations):
            raise ValueError("should be degrees, all of them finite")
        return rotations

    @field_validator("brightness")
    @classmethod
    def _factors(cls, brightness: list[float]) -> list[float]:
        if not all(math.isfinite(factor) and factor > 0.0 for factor in brightness):
            raise ValueError("should be factors above 0, such as 0.9")
        return brightness

    @property
    def parameters(self) -> dict[str, Variant]:
        """What stands in place of the defaults of a method that memorises references."""
        chosen: dict[str, Variant] = {}
        if self.rotations:
            chosen["angles"] = _with(0.0, self.rotations)
        if self.brightness:
            chosen["brightness"] = _with(1.0, self.brightness)
        if self.max_patches is not None:
            chosen["bank_limit"] = self.max_patches
        return chosen


def _with(own: float, others: list[float]) -> list[float]:
    """The reference as it is comes first, whether it was named or not."""
    return [own, *(each for each in dict.fromkeys(others) if each != own)]
