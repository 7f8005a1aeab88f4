"""``RecipeKeys``: the keys of a recipe file."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from agent.domain.names import MAX_NAME
from agent.domain.prompts import PromptSource
from agent.domain.regions import Regions, polygon_of

MAX_WORDS = 4000
"""Longest text of one key in characters."""
_LARGEST = sys.float_info.max


def _parameter(value: object) -> object:
    numbers = [value] if isinstance(value, int | float) else value
    if isinstance(value, bool | str):
        return value
    if not isinstance(numbers, list) or not all(
        isinstance(item, int | float) and not isinstance(item, bool) for item in numbers
    ):
        raise ValueError("should be a number, a text, true or false, or a list of numbers")
    if not all(abs(item) <= _LARGEST for item in numbers):  # neither infinite nor NaN
        raise ValueError("should be finite numbers")
    return value


def _polygon(numbers: list[float]) -> list[float]:
    polygon_of(numbers)  # raises ValueError
    return numbers


def _none_as(empty: type[list[Any]] | type[dict[str, Any]]) -> BeforeValidator:
    """A key whose lines are all commented out is empty."""
    return BeforeValidator(lambda value: empty() if value is None else value)


Text = Annotated[str, Field(min_length=1, max_length=MAX_WORDS)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Texts = Annotated[list[Text], Field(min_length=1)]
Polygon = Annotated[list[Finite], AfterValidator(_polygon)]
Parameters = Annotated[dict[str, Annotated[Any, BeforeValidator(_parameter)]], _none_as(dict)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DefectKeys(_Keys):
    """A kind of defect."""

    name: Text
    severity: Annotated[str, Field(max_length=MAX_WORDS)] = ""
    phrases: list[Text]


class PromptKeys(_Keys):
    """The words."""

    source: PromptSource = PromptSource.MANUAL
    provenance: Annotated[dict[str, str], _none_as(dict)] = {}
    normal: Texts
    anomalous: Texts
    defects: Annotated[list[DefectKeys], _none_as(list)] = []


class ReferenceKeys(_Keys):
    """An image of a good part."""

    name: Text
    sha256: Sha256 | None = None


class CalibrationKeys(_Keys):
    """The threshold."""

    threshold: Finite
    review_below: Finite
    samples: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
    false_alarm_rate: Finite
    source: Text
    map_threshold: Finite | None = None
    scorer: Text | None = None
    log_mean: Finite | None = None
    log_deviation: Finite | None = None
    label_margin: Finite | None = None


class RegionKeys(_Keys):
    """What is inspected of an image: polygons in fractions of it, see ``agent.domain.regions``."""

    inspect: Annotated[list[Polygon], _none_as(list)] = []
    ignore: Annotated[list[Polygon], _none_as(list)] = []

    @model_validator(mode="after")
    def _something_is_inspected(self) -> Self:
        Regions.of(self.model_dump())  # raises ValueError
        return self


class ExportedKeys(_Keys):
    """What the version was when it was exported."""

    version: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] | None = None
    noun: str
    method: str
    words: str
    severities: str
    references: str
    calibration: str
    regions: str = ""


class RecipeKeys(_Keys):
    """A recipe file."""

    sku: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    noun: Text
    method: Text
    note: Annotated[str, Field(max_length=MAX_WORDS)] | None = None
    parameters: Parameters = {}
    regions: RegionKeys | None = None
    prompts: PromptKeys
    references: Annotated[list[ReferenceKeys], _none_as(list)] = []
    calibration: CalibrationKeys | None = None
    exported: ExportedKeys | None = None


SECTIONS: dict[tuple[str, ...], type[BaseModel]] = {
    (): RecipeKeys,
    ("prompts",): PromptKeys,
    ("prompts", "defects"): DefectKeys,
    ("references",): ReferenceKeys,
    ("calibration",): CalibrationKeys,
    ("regions",): RegionKeys,
    ("exported",): ExportedKeys,
}
"""Which keys are allowed at each path, positions in lists left out."""
