"""A trial: one product before one camera, its references, and the images to be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image

BATCH = 8
"""Images judged together."""
SIZE = 256
"""Side in pixels, of drawn images and of what the encoders are shown."""

Scores = dict[str, list[list[float]]]
"""By column (``agent 4-shot``): for each draw of references one score an image."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and the truth about it."""

    image: Image
    kind: str | None
    """The defect; None where the part is good."""
    mask: NDArray[np.bool_] | None = None
    """(H, W) its defective pixels; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Which references of a trial serve together."""

    shots: int
    references: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One product at one station; its images come anew with every call of ``images``."""

    product: str
    """The family of a drawn product, or the name of a folder of photographs."""
    noun: str
    references: Sequence[Image]
    draws: tuple[Draw, ...]
    images: Callable[[], Iterator[Sample]]
    station: str = ""
    seed: int = 0

    @property
    def key(self) -> str:
        """What it is called in the record."""
        return " ".join(part for part in (self.product, self.station, str(self.seed)) if part)

    def batches(self) -> Iterator[list[Sample]]:
        """All images in their order, ``BATCH`` at a time."""
        batch: list[Sample] = []
        for sample in self.images():
            batch.append(sample)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


class Judge(Protocol):
    """A trial that one scorer is ready for."""

    def judge(self, batch: Sequence[Sample]) -> Mapping[str, list[list[float]]]:
        """By column: for each draw one score an image of the batch, higher where more is wrong."""
        ...

    def pixels(self) -> dict[str, float]:
        """By column: the pixel AUROC of all images judged so far; empty where there are no maps."""
        ...


class Scorer(Protocol):
    """One way to score images."""

    def ready(self, trial: Trial) -> Judge:
        """Memorise the trial's references."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """All scores of one trial, as they stand in the record."""

    product: str
    station: str
    seed: int
    kinds: list[str | None]
    scores: Scores
    pixels: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(trial: Trial, scorers: Sequence[Scorer]) -> Result:
    """Every image of a trial by every scorer; an image is drawn or read once."""
    judges = [scorer.ready(trial) for scorer in scorers]
    kinds: list[str | None] = []
    scores: Scores = {}
    for batch in trial.batches():
        kinds += [sample.kind for sample in batch]
        for judge in judges:
            for column, draws in judge.judge(batch).items():
                collected = scores.setdefault(column, [[] for _ in draws])
                for whole, part in zip(collected, draws, strict=True):
                    whole.extend(part)
    pixels = {column: value for judge in judges for column, value in judge.pixels().items()}
    return Result(trial.product, trial.station, trial.seed, kinds, scores, pixels)
