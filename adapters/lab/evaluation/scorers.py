"""Scorers beside the agent's own: plain nearest neighbours, and controls that need no trained model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from adapters.lab.evaluation.trials import SIZE, Draw, Sample, Trial
from adapters.models.encoders.preprocessing import resize
from agent.domain.frame import Image
from agent.methods.maps import highest_mean
from agent.methods.memory import MemoryBank, join_depths, nearest_distances
from agent.ports import ImageSize, PatchEncoder

TOP = 0.01
"""An image's score is the mean of this share of its largest distances."""


class Neighbours:
    """All depths of an encoder joined (3 x 3 mean, unit length), cosine distance to the references."""

    def __init__(self, title: str, encoder: PatchEncoder) -> None:
        self._title, self._encoder = title, encoder

    def ready(self, trial: Trial) -> _Judge:
        """Memorise each reference by itself."""
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


ORIENTATIONS = 8
STRIDES = (8, 16)
"""The grids of the bundled model's own features; a cell is two strides wide."""
_WEIGHTS = (1.0, 2.0, 4.0)
"""Of gradients, colour means and colour deviations: each so spreads about as far as the others."""
_FAINT = 0.02
"""Gradients below it are noise and count little."""


class HandMade:
    """A :class:`agent.ports.PatchEncoder` without weights."""

    name = "hand-made"
    digest = "hand-made"

    @torch.inference_mode()
    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """(B, h, w, 15) on each grid: 8 orientations, 3 means, 3 deviations, 1 constant.

        Raises ValueError if the aspect ratio is to be kept, which these grids do not.
        """
        if keep_aspect:
            raise ValueError("hand-made descriptors are of square images; leave keep_aspect out")
        batch = torch.stack([resize(image, size) for image in images]).float().div_(255)
        planes = _gradients(batch)
        return tuple(_moments(batch, planes, stride) for stride in STRIDES)


def _gradients(batch: torch.Tensor) -> torch.Tensor:
    """(B, 8, H, W) strength of the gradient in each orientation, of (B, 3, H, W) in [0, 1]."""
    grey = F.pad(batch.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]) / 2
    down = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]) / 2
    strength = torch.hypot(across, down)
    # An orientation falls to the two nearest directions, by cosine: no bin has an edge.
    angle = 2 * torch.atan2(down, across)
    centres = torch.arange(ORIENTATIONS).view(1, -1, 1, 1) * (2 * torch.pi / ORIENTATIONS)
    return strength * torch.cos(angle - centres).clamp_min(0).square()


def _moments(batch: torch.Tensor, gradients: torch.Tensor, stride: int) -> torch.Tensor:
    """(B, h, w, 15): every plane averaged over the cells of one grid."""

    def pooled(planes: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(planes, 2 * stride, stride, stride // 2, count_include_pad=False)

    oriented = pooled(gradients)
    oriented = oriented / (oriented.norm(dim=1, keepdim=True) + _FAINT)
    mean = pooled(batch)
    deviation = (pooled(batch.square()) - mean.square()).clamp_min(0).sqrt()
    parts = [_WEIGHTS[0] * oriented, _WEIGHTS[1] * (mean - 0.5), _WEIGHTS[2] * deviation]
    # The constant keeps a grey cell without gradients away from zero, where it would have no direction.
    return torch.cat([*parts, torch.ones_like(mean[:, :1])], dim=1).permute(0, 2, 3, 1)


RANDOM = "random weights"
HAND_MADE = "hand-made descriptors"
MEDIAN = "outlier, to the median"
NEAREST = "outlier, to the nearest"

WITHOUT_TEACHER = (RANDOM, HAND_MADE, MEDIAN, NEAREST)
_REACH = 1
"""Cells so far apart still share pixels."""


class Outlier:
    """How far the oddest patches of an image are from the rest of it: no model, no reference.

    Hand-made descriptors of one grid; distance to their median over the image, and to the nearest one
    that shares no pixel.
    """

    def ready(self, trial: Trial) -> Outlier:
        """There is nothing to memorise."""
        return self

    @torch.inference_mode()
    def judge(self, batch: Sequence[Sample]) -> dict[str, list[list[float]]]:
        """Distances of the oddest cells, to the median and to the nearest."""
        cells = HandMade().encode_patches([sample.image for sample in batch], SIZE)[0]
        flat = cells.flatten(1, 2)
        median = F.normalize(flat.median(dim=1, keepdim=True).values, dim=-1)
        unit = F.normalize(flat, dim=-1)
        to_median = 0.5 * (1 - (unit * median).sum(-1)).clamp_min(0)
        similarities = unit @ unit.transpose(1, 2)
        similarities.masked_fill_(_overlapping(*cells.shape[1:3]), -2.0)
        to_nearest = 0.5 * (1 - similarities.amax(-1)).clamp_min(0)
        return {
            f"{MEDIAN} 0-shot": [top_mean(to_median)],
            f"{NEAREST} 0-shot": [top_mean(to_nearest)],
        }

    def pixels(self) -> dict[str, float]:
        """It has no maps."""
        return {}


def _overlapping(rows: int, columns: int) -> torch.Tensor:
    """(n, n) which cells of a grid share pixels, each with itself among them."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    y, x = y.flatten(), x.flatten()
    near = (y[:, None] - y).abs().maximum((x[:, None] - x).abs())
    return near <= _REACH
