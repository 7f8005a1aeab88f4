"""Samples: images and scores in the history of parts that are known to be good, or called good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """The image of one inspected frame."""

    frame_id: str
    sha256: str
    path: str
    """Relative to the media folder."""


class Samples(Protocol):
    """Queries on the history. Every method raises StorageError."""

    def first_frames(self, sku: str, most: int) -> Sequence[RecordedFrame]:
        """The first ``most`` different images of ``sku`` that were inspected, the oldest first.

        Without those that a person called defective, and without frames that failed or were skipped. Their
        files exist, and stay for an hour at least, so that they can become references.
        """
        ...

    def judged(self, sku: str, versions: Sequence[int], most: int) -> Sequence[JudgedScore]:
        """Those of the newest ``most`` judged frames that these recipe versions judged, the oldest first.

        With the latest feedback on each, without frames that failed or were skipped. No more rows are read,
        however long the history is.
        """
        ...

    def skus_with_recipe(self) -> Sequence[str]:
        """SKUs that have an active recipe."""
        ...

    def skus_without_references(self) -> Sequence[str]:
        """SKUs whose active recipe has no reference."""
        ...


@dataclass(frozen=True, slots=True)
class JudgedScore:
    """The score of a frame from production, its verdict and the feedback on it."""

    score: float
    passed: bool
    """False: it was FAIL or REVIEW, so it was shown to people."""
    good: bool | None
    """The latest feedback; None without one."""
    recipe_version: int
    threshold: float | None
    """The one that judged it; None: the recipe was not calibrated, and every frame was shown."""
