"""The null method: a fixed cost and a score of zero. It measures the agent around the models."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from agent.domain.calibration import Calibration
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.prepared import Prepared, Scored

_EVERYTHING_PASSES = Calibration(
    threshold=1.0, review_below=1.0, samples=0, false_alarm_rate=0.0, source="the null method"
)


def _passing(recipe: Recipe) -> Recipe:
    return replace(recipe, calibration=_EVERYTHING_PASSES)


@dataclass(frozen=True, slots=True)
class NullPrepared:
    """A recipe that asks for nothing."""

    recipe: Recipe
    mask_threshold: float = 1.0
    pool_fraction: float = 0.0

    @property
    def complete(self) -> bool:
        """See :class:`agent.methods.prepared.Prepared`."""
        return True

    def without_reference(self, reference: int) -> NullPrepared:
        """Nothing was memorised."""
        return self

    def with_recipe(self, recipe: Recipe) -> NullPrepared:
        """See :class:`agent.methods.prepared.Prepared`."""
        return replace(self, recipe=_passing(recipe))

    def label(self, region: torch.Tensor) -> str | None:
        """Nothing has a name."""
        return None


class Null:
    """Takes ``cost_ms`` a frame and finds nothing."""

    digest = "null"
    fingerprint = "null"

    def __init__(self, cost_ms: float = 0.0) -> None:
        self._cost_s = cost_ms / 1000.0
        self._never = threading.Event()

    def prepare(self, recipe: Recipe, references: Sequence[Image]) -> NullPrepared:
        """See :class:`agent.methods.prepared.Method`."""
        return NullPrepared(_passing(recipe))

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """See :class:`agent.methods.prepared.Method`."""
        if self._cost_s > 0.0:
            self._never.wait(self._cost_s * len(images))
        return [Scored(0.0) for _ in images]
