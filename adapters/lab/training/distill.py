"""``distill``: a random network learns to give the features of a pretrained one on drawn images.

If teacher and student have the same architecture, each inverted-residual block has a counterpart. In the
first steps every student block is fed with the teacher's input of that block (block-wise distillation: 17
shallow problems that converge within hundreds of steps); afterwards the student runs on its own features,
its errors included, and is led end to end. Any other teacher leads it end to end from the first step, at the
depths that are compared with references.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from adapters.lab.training.dataset import batches, colour_jitter, mix
from adapters.lab.training.networks import (
    COMPARED,
    Teacher,
    Twin,
    blocks_of,
    compared,
    device_of,
    stage_ends,
    to_network,
)
from adapters.lab.training.progress import Progress


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """How long and how hard a student is led."""

    forced_steps: int = 450
    """Block by block, if the teacher has such blocks."""
    steps: int = 1500
    batch: int = 32
    size: int = 112
    learning_rate: float = 2e-3
    final_rate: float = 0.01
    """The cosine ends at this part of the learning rate."""
    weight_decay: float = 1e-4
    mixed: float = 0.4
    free_stages: int = 5
    """How many stages go on after the block-wise steps; the later ones have no part in few-shot features."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and deviation of each channel after each block or at each depth, each (C, 1, 1)."""

    mean: list[torch.Tensor]
    deviation: list[torch.Tensor]


@torch.no_grad()
def teacher_statistics(blocks: Sequence[nn.Module], inputs: Iterator[torch.Tensor]) -> Statistics:
    """Over all locations of the given batches (network input range)."""
    sums: list[list[torch.Tensor]] = []
    for batch in inputs:
        outputs, features = [], batch
        for block in blocks:
            features = block(features)
            outputs.append(_moments(features))
        sums.append(outputs)
    return _statistics(sums)


def _statistics(moments: Iterable[Sequence[torch.Tensor]]) -> Statistics:
    """Of the :func:`_moments` of each batch."""
    means = [torch.stack(each).mean(0) for each in zip(*moments, strict=True)]
    mean = [moment[0][:, None, None] for moment in means]
    deviation = [(moment[1] - moment[0].square()).clamp_min(1e-8).sqrt()[:, None, None] for moment in means]
    return Statistics(mean, deviation)


def start_from_statistics(trunk: Any, statistics: Statistics) -> None:
    """Set the last batch norm of each block so that a random network begins with the teacher's moments."""
    for index, block in enumerate(blocks_of(trunk)[1:], start=1):
        _begin(block, statistics.mean[index], statistics.deviation[index])


@torch.no_grad()
def _begin(block: Any, mean: torch.Tensor, deviation: torch.Tensor) -> None:
    """A block that adds to what it is given adds half as much again; any other begins with the moments."""
    norm = block.bn2 if hasattr(block, "conv_dw") and not hasattr(block, "bn3") else block.bn3
    if getattr(block, "has_skip", False):
        norm.weight.copy_(deviation.flatten() * 0.5)
    else:
        norm.weight.copy_(deviation.flatten())
        norm.bias.copy_(mean.flatten())


def cosine_rate(step: int, steps: int, final: float = 0.01, warm: int = 50) -> float:
    """Linear warm-up, then a cosine from 1 to ``final``."""
    if step < warm:
        return (step + 1) / warm
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def distillation_loss(
    student: Sequence[nn.Module],
    teacher: Sequence[nn.Module],
    images: torch.Tensor,
    statistics: Statistics,
    weights: Sequence[float],
    forced: bool,
) -> tuple[torch.Tensor, list[float]]:
    """Smooth L1 between standardised features after each block; the weighted mean and the single losses."""
    target = own = images
    losses = []
    for index, (pupil, master) in enumerate(zip(student, teacher, strict=False)):
        own = pupil(target if forced else own)
        with torch.no_grad(), torch.autocast(target.device.type, dtype=torch.bfloat16):
            target = master(target)
        target = target.float()
        losses.append(F.smooth_l1_loss((own - target) / statistics.deviation[index], torch.zeros_like(own)))
    share = torch.tensor(weights[: len(losses)], device=own.device)
    total = (torch.stack(losses) * share).sum() / share.sum()
    return total, [float(loss.detach()) for loss in losses]


class Lead(Protocol):
    """How a teacher leads a student."""

    def loss(self, images: torch.Tensor, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """To be made smaller, of (B, 3, H, W) in [0, 1]; and what the curve shows, by stage."""
        ...


class BlockByBlock:
    """A teacher of the same architecture."""

    def __init__(
        self,
        student: nn.Module,
        teacher: Twin,
        settings: DistillSettings,
        probe: Iterator[torch.Tensor],
        *,
        fresh: bool,
    ) -> None:
        self._pupils, self._masters = blocks_of(student), blocks_of(teacher.network)
        self._statistics = teacher_statistics(self._masters, (to_network(batch) for batch in probe))
        if fresh:
            start_from_statistics(student, self._statistics)
        self._settings, self._ends = settings, stage_ends(student)
        marked = {self._ends[stage] for stage in COMPARED}
        self._weights = [3.0 if index in marked else 1.0 for index in range(len(self._pupils))]

    def loss(self, images: torch.Tensor, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """After the first steps the student runs on its own features."""
        forced = step < self._settings.forced_steps
        last = self._ends[self._settings.free_stages - 1] + 1
        running = self._pupils if forced else self._pupils[:last]
        total, losses = distillation_loss(
            running, self._masters, to_network(images), self._statistics, self._weights, forced
        )
        return total, {
            f"stage {stage}": losses[end] for stage, end in enumerate(self._ends) if end < len(losses)
        }


class DepthByDepth:
    """Any teacher, at the depths that are compared with references; later stages learn nothing here."""

    def __init__(self, student: Any, teacher: Teacher, probe: Iterator[torch.Tensor], *, fresh: bool) -> None:
        self._student, self._teacher = student, teacher
        statistics = _statistics([_moments(depth) for depth in teacher.depths(batch)] for batch in probe)
        self._deviations = statistics.deviation
        if fresh:
            for stage, mean, deviation in zip(COMPARED, statistics.mean, statistics.deviation, strict=True):
                for block in student.blocks[stage]:
                    _begin(block, mean, deviation)

    def loss(self, images: torch.Tensor, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Over the compared depths."""
        losses = depth_losses(compared(self._student, images), self._teacher.depths(images), self._deviations)
        shown = zip(COMPARED, losses, strict=True)
        return torch.stack(losses).mean(), {f"stage {stage}": float(loss.detach()) for stage, loss in shown}


def _moments(features: torch.Tensor) -> torch.Tensor:
    """(2, C): mean and mean square of each channel."""
    return torch.stack([features.mean((0, 2, 3)), features.square().mean((0, 2, 3))])


def depth_losses(
    found: Sequence[torch.Tensor], targets: Sequence[torch.Tensor], deviations: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Smooth L1 to the teacher's standardised features, for each depth.

    Features are (B, C, h, w), deviations of the teacher's channels broadcast to them.
    """
    return [
        F.smooth_l1_loss(own / deviation, target.to(own.device) / deviation)
        for own, target, deviation in zip(found, targets, deviations, strict=True)
    ]


def distill(
    student: nn.Module,
    teacher: Teacher,
    pools: Sequence[NDArray[np.uint8]],
    settings: DistillSettings,
    *,
    folder: Path,
    name: str = "trunk",
    fresh: bool = True,
) -> None:
    """Lead ``student`` (a timm trunk, changed in place) to ``teacher``'s features on images of ``pools``.

    Both lie on one device, which computes everything but the images.

    ``fresh``: the student is random and begins with the teacher's moments. ``folder`` keeps the curve and a
    checkpoint to go on from (:class:`Progress`).
    """
    student.train().to(memory_format=torch.channels_last)
    device = device_of(student)
    drawn = batches(pools, range(12), 64, settings.size, settings.seed + 1)
    probe = (batch.to(device) for batch in drawn)
    lead: Lead
    if isinstance(teacher, Twin):
        lead = BlockByBlock(student, teacher, settings, probe, fresh=fresh)
    else:
        lead = DepthByDepth(student, teacher, probe, fresh=fresh)
    optimiser = torch.optim.AdamW(decay_groups(student, settings.weight_decay), foreach=True)
    progress = Progress(folder, name, student, optimiser, settings)
    todo = list(progress.steps(settings.steps))
    feed = batches(pools, todo, settings.batch, settings.size, settings.seed + 2)
    for step, batch in zip(todo, feed, strict=True):
        set_rate(optimiser, settings.learning_rate * cosine_rate(step, settings.steps, settings.final_rate))
        total, shown = lead.loss(_altered(batch, settings, step).to(device), step)
        advance(optimiser, student, total)
        progress.done(step, settings.steps, shown)
    student.eval()


def _altered(batch: torch.Tensor, settings: DistillSettings, step: int) -> torch.Tensor:
    """Other colours, and in some steps mixtures of two images."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    images = colour_jitter(batch, generator)
    if float(torch.rand((), generator=generator)) < settings.mixed:
        images = mix(images, generator)
    return images


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What is trained of a model, for AdamW: matrices decay, gains and biases do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the step that comes."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def advance(optimiser: torch.optim.Optimizer, model: nn.Module, loss: torch.Tensor) -> None:
    """One step downhill, the gradient's norm at most 1."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimiser.step()
