"""What the teacher is worth: the same network taught by defects alone, from random weights.

The whole trunk learns what :mod:`adapters.lab.training.alike` asks for and nothing else. Nothing is held
in place and nothing was computed before, so that all layers learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from adapters.lab.training.alike import AlikeSettings, depths_of, episodes
from adapters.lab.training.dataset import colour_jitter_together
from adapters.lab.training.distill import advance, cosine_rate, decay_groups, set_rate
from adapters.lab.training.linepool import LinePool
from adapters.lab.training.progress import Progress
from adapters.lab.training.student import ARCHITECTURE, to_network


def unled(line: LinePool, steps: int, groups: int, *, folder: Path) -> Any:
    """A trunk after so many steps of ``groups`` products each; ``folder`` keeps curve and checkpoint."""
    torch.manual_seed(0)
    student: Any = timm.create_model(ARCHITECTURE, pretrained=False).train()
    student.to(memory_format=torch.channels_last)
    settings = replace(AlikeSettings(), steps=steps, groups=groups, directions=1, hold=0.0)
    whole = line.groups()
    optimiser = torch.optim.AdamW(decay_groups(student, settings.weight_decay), foreach=True)
    progress = Progress(folder, "unled", student, optimiser, settings)
    for step in progress.steps(steps):
        rng = np.random.default_rng([settings.seed, step, 0x0E])
        set_rate(optimiser, settings.learning_rate * cosine_rate(step, steps))
        chosen = [whole[index] for index in rng.choice(len(whole), groups, replace=False)]
        rows = [row for pairs in chosen for pair in pairs for row in (2 * pair, 2 * pair + 1)]
        depths = depths_of(student, student.bn1(student.conv_stem(_images(line, rows, groups, step))), 0)
        loss = episodes(depths, {}, rows, line, settings, rng)
        advance(optimiser, student, loss)
        progress.done(step, steps, {"alike": float(loss.detach())})
    return student.eval()


def _images(line: LinePool, rows: Sequence[int], groups: int, step: int) -> torch.Tensor:
    """(B, 3, H, W) for the network, the parts of one product in the same other colours."""
    generator = torch.Generator().manual_seed(step)
    images = torch.from_numpy(np.stack([line.images[row] for row in rows])).permute(0, 3, 1, 2).float() / 255
    return to_network(colour_jitter_together(images, len(rows) // groups, generator))
