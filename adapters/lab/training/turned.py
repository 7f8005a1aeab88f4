"""References turned, as enrollment memorises them where parts lie loosely (:mod:`agent.enrollment.orientation`).

Turning an image turns its light as well, which a part that is laid down otherwise does not do. What is left
between the two is for the features to learn, and they can only where training turns references as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from adapters.lab.training.linepool import LinePool
from adapters.lab.training.student import to_network
from agent.methods.memory import join_depths
from agent.methods.variants import evenly_spaced, rotated

Coloured = Callable[[torch.Tensor], torch.Tensor]
"""(B, 3, H, W) levels in [0, 1] to the same in other colours."""
Depths = Callable[[torch.Tensor], list[torch.Tensor]]
"""What a network takes, to its features (B, C, h, w) of each depth."""


@torch.no_grad()
def turned_places(
    depths: Depths, line: LinePool, rows: Sequence[int], coloured: Coloured, directions: int
) -> list[torch.Tensor]:
    """The places of images in all directions but their own.

    Args:
        rows: numbers of images of the line.
        coloured: the same colours for all of them.
        directions: as many as enrollment takes, their own among them.

    Returns:
        For each image ((directions - 1) h w, C) unit vectors, without gradients.
    """
    angles = evenly_spaced(directions)[1:]
    images = [torch.from_numpy(rotated(line.images[row], angle).copy()) for row in rows for angle in angles]
    if not images:
        return [torch.empty(0) for _ in rows]
    batch = to_network(coloured(torch.stack(images).permute(0, 3, 1, 2).float() / 255))
    found = depths(batch.contiguous(memory_format=torch.channels_last))
    joined = join_depths([depth.permute(0, 2, 3, 1) for depth in found], smoothing=1)
    return list(joined.reshape(len(rows), -1, joined.shape[-1]))
