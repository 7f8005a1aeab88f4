"""Samples: images and scores in the history of parts that are known to be good, or called good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Protocol

from agent.domain.frame import Camera


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """The image of one inspected frame."""

    frame_id: str
    sha256: str
    path: str
    """Relative to the media folder."""


@dataclass(frozen=True, slots=True)
class InspectedFrame:
    """An inspection as its frame id names it, with what people said about the part."""

    inspection_id: str
    frame_id: str
    camera: str
    """``site/line/camera``."""
    sku: str | None
    path: str | None
    """Of its image, relative to the media folder; None if none was stored, or it was let go."""
    truth: str | None
    """The latest feedback, ``good`` or ``defective``; None without one."""

    @property
    def sha256(self) -> str:
        """Of its image, which is named by it; empty without an image."""
        return "" if self.path is None else PurePosixPath(self.path).stem


class Samples(Protocol):
    """Queries on the history. Every method raises StorageError."""

    def first_frames(self, sku: str, most: int) -> Sequence[RecordedFrame]:
        """The first ``most`` different images of ``sku`` that were inspected, the oldest first.

        Without those that a person called defective, and without frames that failed or were skipped. Their
        files exist, and stay for an hour at least, so that they can become references.
        """
        ...

    def inspected(self, frame_id: str, camera: str | None = None) -> Sequence[InspectedFrame]:
        """The inspections of a frame id, one a camera that uses it, sorted by camera.

        ``camera``: only of this ``site/line/camera``.
        """
        ...

    def keep(self, path: str) -> bool:
        """Whether the image exists; it then stays for an hour at least, so that it can become a reference."""
        ...

    def call_good(self, inspection_id: str, at: datetime, by: str | None) -> None:
        """Record that a person called the part of an inspection good, unless that is the latest word."""
        ...

    def called_good(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of some images of which people said last that they show a good part."""
        ...

    def judged(self, sku: str, versions: Sequence[int], most: int) -> Sequence[JudgedScore]:
        """Those of the newest ``most`` judged frames that these recipe versions judged, the oldest first.

        With the latest feedback on each, without frames that failed or were skipped. No more rows are read,
        however long the history is.
        """
        ...

    def recent_products(self, within: timedelta, most: int) -> Sequence[tuple[str, Camera]]:
        """Products with a recipe that were inspected within so long before the last inspection of all, each
        with every camera that showed it of late; the last one first, at most so many.
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
