"""Where the cells of a convolutional map lie in the image.

A strided convolution with symmetric padding puts cell i on pixel ``stride * i``, TensorFlow's padding puts
it behind its middle, and training moves it further. Everything that resizes maps takes a cell to lie in
the middle of its pixels, at ``stride * i + (stride - 1) / 2``. Uncorrected, depths of different strides do
not lie over each other, and every outline is drawn beside its defect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

PROBE = 256
"""Side length of the images that the network is probed with, in pixels."""
PROBES = 4
STEPS = 16
"""Lags are rounded to this part of a cell: equal weights give equal features on every machine."""


def lags(take: Callable[[torch.Tensor], Sequence[torch.Tensor]], like: torch.Tensor) -> tuple[float, ...]:
    """How far each depth's cells look before the middle of their pixels, as a share of a cell.

    The pixels that the middle cell depends on are found by its gradient, over noise, and their centre of
    gravity is where the cell looks.

    Args:
        take: (B, 3, h, w) to maps (B, C_i, h_i, w_i).
        like: any tensor of the network's device and type.

    Returns:
        One for each depth, in [-1, 1]; 0 where cells look at their middle.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(PROBES, 3, PROBE, PROBE, generator=generator).to(like).requires_grad_()
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        depths = take(images)
        for depth in depths:
            stride, cell = PROBE / depth.shape[3], depth.shape[3] // 2
            target = depth[:, :, cell, cell].pow(2).sum()
            (gradient,) = torch.autograd.grad(target, images, retain_graph=True)
            weight = gradient.double().pow(2).sum(dim=(0, 1))
            places = torch.arange(PROBE).to(weight)
            # Rows and columns have their own bias; resampling moves both alike, by their mean.
            centre = float(((weight.sum(0) + weight.sum(1)) * places).sum() / (2.0 * weight.sum()))
            middle = stride * cell + (stride - 1.0) / 2.0
            found.append(max(-1.0, min(1.0, round(STEPS * (middle - centre) / stride) / STEPS)))
    return tuple(found)


def recentre(depth: torch.Tensor, lag: float) -> torch.Tensor:
    """(B, C, h, w) resampled linearly to the middles of its cells; what lies outside repeats the border."""
    if lag == 0.0:
        return depth
    if lag < 0.0:
        return recentre(depth.flip((2, 3)), -lag).flip((2, 3))
    padded = F.pad(depth, (0, 1, 0, 1), mode="replicate")
    across = torch.lerp(padded[..., :-1], padded[..., 1:], lag)
    return torch.lerp(across[..., :-1, :], across[..., 1:, :], lag)
