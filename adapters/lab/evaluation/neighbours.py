"""Plain nearest neighbours: what features are worth without words, gains and weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.lab.evaluation.trial import SIZE, Draw, Sample, Trial
from agent.domain.frame import Image
from agent.methods.maps import highest_mean
from agent.methods.memory import MemoryBank, join_depths, nearest_distances
from agent.ports import PatchEncoder

TOP = 0.01
"""An image's score is the mean of this share of its largest distances."""


class Neighbours:
    """All depths of an encoder joined (3 x 3 mean, unit length), cosine distance to the references."""

    def __init__(self, title: str, encoder: PatchEncoder) -> None:
        self._title, self._encoder = title, encoder

    def ready(self, trial: Trial) -> _Judge:
        """See :class:`Scorer`."""
        return _Judge(self._title, self._encoder, trial)


class _Judge:
    def __init__(self, title: str, encoder: PatchEncoder, trial: Trial) -> None:
        self._title, self._encoder, self._draws = title, encoder, trial.draws
        self._banks = [_bank(encoder, image) for image in trial.references]

    @torch.inference_mode()
    def judge(self, batch: Sequence[Sample]) -> dict[str, list[list[float]]]:
        joined = join_depths(self._encoder.encode_patches([sample.image for sample in batch], SIZE))
        # (references, B, h w): the nearest of several references is the smallest over them.
        distances = torch.stack([nearest_distances(joined, bank).flatten(1) for bank in self._banks])
        columns: dict[str, list[list[float]]] = {}
        for draw in self._draws:
            column = columns.setdefault(f"{self._title} {draw.shots}-shot", [])
            column.append(_pooled(distances, draw))
        return columns

    def pixels(self) -> dict[str, float]:
        return {}


@torch.inference_mode()
def _bank(encoder: PatchEncoder, image: Image) -> MemoryBank:
    vectors = join_depths(encoder.encode_patches([image], SIZE)).flatten(0, 2)
    return MemoryBank(vectors, torch.zeros(len(vectors), dtype=torch.long))


def _pooled(distances: torch.Tensor, draw: Draw) -> list[float]:
    return top_mean(distances[list(draw.references)].amin(0))


def top_mean(distances: torch.Tensor) -> list[float]:
    """One score an image of (B, n) distances."""
    values: list[float] = highest_mean(distances, round(TOP * distances.shape[1])).tolist()
    return values
