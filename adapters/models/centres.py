"""Where the cells of a convolutional map lie in the picture.

A strided convolution with symmetric padding puts cell i on pixel ``stride * i``, while everything that
resizes maps takes it to lie in the middle of its pixels, at ``stride * i + (stride - 1) / 2``. Uncorrected,
depths of different strides do not lie over each other, and every outline is drawn half a stride too far
to the right and below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

PROBE = 256
"""Side length of the picture that the network is probed with, in pixels."""


def lags(take: Callable[[torch.Tensor], Sequence[torch.Tensor]], like: torch.Tensor) -> tuple[float, ...]:
    """How far each depth's cells lie before the middle of their pixels, as a share of a cell.

    The pixels that the middle cell depends on are found by its gradient; their centre tells which of the
    two conventions the network follows.

    Args:
        take: (1, 3, h, w) to maps (1, C_i, h_i, w_i).
        like: any tensor of the network's device and type.

    Returns:
        One for each depth: ``(stride - 1) / (2 stride)``, or 0 where cells lie in the middle.
    """
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, PROBE, PROBE, generator=generator).to(like).requires_grad_()
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        for index, depth in enumerate(take(picture)):
            stride, cell = PROBE / depth.shape[3], depth.shape[3] // 2
            # Each call builds the graph anew: one depth's gradient must not hold the others' memory.
            target = take(picture)[index][0, :, cell, cell].pow(2).sum()
            (gradient,) = torch.autograd.grad(target, picture)
            weight = gradient[0].abs().sum(dim=(0, 1)).double()
            centre = float((weight * torch.arange(PROBE).to(weight)).sum() / weight.sum())
            early, middle = stride * cell, stride * cell + (stride - 1.0) / 2.0
            lag = (stride - 1.0) / (2.0 * stride)
            found.append(lag if abs(centre - early) < abs(centre - middle) else 0.0)
    return tuple(found)


def recentre(depth: torch.Tensor, lag: float) -> torch.Tensor:
    """(B, C, h, w) resampled linearly to the middles of its cells; the last row and column repeat."""
    if lag == 0.0:
        return depth
    padded = F.pad(depth, (0, 1, 0, 1), mode="replicate")
    across = torch.lerp(padded[..., :-1], padded[..., 1:], lag)
    return torch.lerp(across[..., :-1, :], across[..., 1:, :], lag)
