"""``Null``: a fixed cost and a score of zero, to measure the agent around the models."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from agent.domain.calibration import Calibration
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.registry import MethodModels

_EVERYTHING_PASSES = Calibration(
    threshold=1.0, review_below=1.0, samples=0, false_alarm_rate=0.0, source="the null method"
)


@dataclass(frozen=True, slots=True)
class NullParameters:
    """What a frame costs."""

    null_cost_ms: float = 0.0

    def __post_init__(self) -> None:
        if self.null_cost_ms < 0.0:
            raise ValueError("null_cost_ms is not negative")


PRESET = NullParameters()


def build(models: MethodModels, parameters: NullParameters) -> Null:
    """The method, which uses no model."""
    return Null(parameters.null_cost_ms)


@dataclass(frozen=True, slots=True)
class NullPrepared(PreparedRecipe):
    """A recipe that every frame passes."""

    def with_recipe(self, recipe: Recipe) -> Self:
        return replace(self, recipe=_passing(recipe))

    @property
    def mask_threshold(self) -> float:
        return 1.0


class Null:
    """Takes ``cost_ms`` a frame and finds nothing."""

    digest = "null"
    fingerprint = "null"

    def __init__(self, cost_ms: float = 0.0) -> None:
        self._cost_s = cost_ms / 1000.0
        self._never = threading.Event()

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> NullPrepared:
        return NullPrepared(_passing(recipe))

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        if self._cost_s > 0.0:
            self._never.wait(self._cost_s * len(images))
        return [Scored(0.0) for _ in images]


def _passing(recipe: Recipe) -> Recipe:
    return replace(recipe, calibration=_EVERYTHING_PASSES)
