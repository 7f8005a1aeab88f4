"""Phase A: a random network learns to give the features of a pretrained one on drawn pictures.

Teacher and student have the same architecture, so each inverted-residual block has a counterpart. In the
first steps every student block is fed with the teacher's input of that block (block-wise distillation: 17
shallow problems that converge within hundreds of steps); afterwards the student runs on its own features,
its errors included, and is led end to end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from adapters.models.training.dataset import batches, colour_jitter, mix
from adapters.models.training.progress import Progress

ARCHITECTURE = "mobilenetv2_100"
COMPARED = (2, 4)
"""Stages whose outputs are compared with references: strides 8 and 16."""


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """How long and how hard phase A trains."""

    forced_steps: int = 450
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


def load_teacher(path: Path) -> nn.Module:
    """The pretrained network, frozen, without its classifier."""
    teacher = timm.create_model(ARCHITECTURE, pretrained=False)
    teacher.load_state_dict(load_file(str(path)))
    return teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def blocks_of(trunk: Any) -> list[nn.Module]:
    """Stem and inverted-residual blocks in order, each a map from features to features."""
    stem = nn.Sequential(trunk.conv_stem, trunk.bn1)
    return [stem, *(block for stage in trunk.blocks for block in stage)]


def stage_ends(trunk: Any) -> list[int]:
    """Index into :func:`blocks_of` of the last block of each stage."""
    return np.cumsum([len(stage) for stage in trunk.blocks]).tolist()


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and deviation of each channel after each block, each (C, 1, 1)."""

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
            outputs.append(torch.stack([features.mean((0, 2, 3)), features.square().mean((0, 2, 3))]))
        sums.append(outputs)
    moments = [torch.stack(each).mean(0) for each in zip(*sums, strict=True)]
    mean = [moment[0][:, None, None] for moment in moments]
    deviation = [(moment[1] - moment[0].square()).clamp_min(1e-8).sqrt()[:, None, None] for moment in moments]
    return Statistics(mean, deviation)


def start_from_statistics(trunk: Any, statistics: Statistics) -> None:
    """Set the last batch norm of each block so that a random network begins with the teacher's moments."""
    with torch.no_grad():
        blocks: list[Any] = blocks_of(trunk)
        for index, block in enumerate(blocks[1:], start=1):
            norm = block.bn2 if hasattr(block, "conv_dw") and not hasattr(block, "bn3") else block.bn3
            if getattr(block, "has_skip", False):
                norm.weight.copy_(statistics.deviation[index].flatten() * 0.5)
            else:
                norm.weight.copy_(statistics.deviation[index].flatten())
                norm.bias.copy_(statistics.mean[index].flatten())


def cosine_rate(step: int, steps: int, final: float = 0.01, warm: int = 50) -> float:
    """Linear warm-up, then a cosine from 1 to ``final``."""
    if step < warm:
        return (step + 1) / warm
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def distillation_loss(
    student: Sequence[nn.Module],
    teacher: Sequence[nn.Module],
    pictures: torch.Tensor,
    statistics: Statistics,
    weights: Sequence[float],
    forced: bool,
) -> tuple[torch.Tensor, list[float]]:
    """Smooth L1 between standardised features after each block; the weighted mean and the single losses."""
    target = own = pictures
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


def distill(
    student: nn.Module,
    teacher: nn.Module,
    pools: Sequence[NDArray[np.uint8]],
    settings: DistillSettings,
    *,
    folder: Path,
    name: str = "trunk",
    fresh: bool = True,
) -> None:
    """Lead ``student`` (a timm trunk, changed in place) to ``teacher``'s features on pictures of ``pools``.

    Both lie on one device, which computes everything but the pictures.

    ``fresh``: the student is random and begins with the teacher's moments. ``folder`` keeps the curve and a
    checkpoint to go on from (:class:`Progress`).
    """
    student.train().to(memory_format=torch.channels_last)
    pupils, masters = blocks_of(student), blocks_of(teacher)
    device = device_of(student)
    drawn = batches(pools, range(12), 64, settings.size, settings.seed + 1)
    probe = (to_network(batch.to(device)) for batch in drawn)
    statistics = teacher_statistics(masters, probe)
    if fresh:
        start_from_statistics(student, statistics)
    ends = stage_ends(student)
    weights = [3.0 if index in {ends[stage] for stage in COMPARED} else 1.0 for index in range(len(pupils))]
    optimiser = torch.optim.AdamW(decay_groups(student, settings.weight_decay), foreach=True)
    progress = Progress(folder, name, student, optimiser, settings)
    todo = list(progress.steps(settings.steps))
    feed = batches(pools, todo, settings.batch, settings.size, settings.seed + 2)
    for step, batch in zip(todo, feed, strict=True):
        pictures = to_network(_altered(batch, settings, step).to(device))
        set_rate(optimiser, settings.learning_rate * cosine_rate(step, settings.steps, settings.final_rate))
        forced = step < settings.forced_steps
        # After the first steps the student runs on its own features.
        running = pupils if forced else pupils[: ends[settings.free_stages - 1] + 1]
        total, losses = distillation_loss(running, masters, pictures, statistics, weights, forced)
        advance(optimiser, student, total)
        shown = {f"stage {stage}": losses[end] for stage, end in enumerate(ends) if end < len(losses)}
        progress.done(step, settings.steps, shown)
    student.eval()


def _altered(batch: torch.Tensor, settings: DistillSettings, step: int) -> torch.Tensor:
    """Other colours, and in some steps mixtures of two pictures."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    pictures = colour_jitter(batch, generator)
    if float(torch.rand((), generator=generator)) < settings.mixed:
        pictures = mix(pictures, generator)
    return pictures


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


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights lie."""
    return next(model.parameters()).device


def to_network(pictures: torch.Tensor) -> torch.Tensor:
    """[0, 1] to the teacher's [-1, 1], channels last."""
    return (pictures * 2 - 1).to(memory_format=torch.channels_last)
