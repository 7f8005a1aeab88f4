"""``take_stages`` and ``recentre``: feature maps of a timm network at several depths, over each other.

A strided convolution with symmetric padding puts cell i on pixel ``stride * i``, TensorFlow's padding puts
it behind its middle, and training moves it further. Everything that resizes maps takes a cell to lie in
the middle of its pixels, at ``stride * i + (stride - 1) / 2``. Uncorrected, depths of different strides do
not lie over each other, and every outline is drawn beside its defect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from agent.domain.errors import ModelError

PROBE = 256
"""Side length of the images that the network is probed with, in pixels."""
PROBES = 4
STEPS = 16
"""Lags are rounded to this part of a cell, so that equal weights give equal features on every machine."""


def interleaved(maps: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) to (h w, C), row-major."""
    return maps[0].permute(1, 2, 0).flatten(0, 1)


def reductions(trunk: Any) -> list[int]:
    """The stride of each stage that the network can give. Raises ModelError for unsupported networks."""
    info = getattr(trunk, "feature_info", None)
    if not info or not hasattr(trunk, "forward_intermediates"):
        raise ModelError(
            f"the architecture {type(trunk).__name__} gives no features of several depths in timm"
        )
    return [int(stage["reduction"]) for stage in info]


def is_transformer(trunk: Any) -> bool:
    """Whether all depths share one grid, as those of a plain vision transformer do."""
    return hasattr(trunk, "patch_embed") and len(set(reductions(trunk))) == 1


def stages_at(trunk: Any, strides: tuple[int, ...]) -> tuple[int, ...]:
    """The last stage at each stride. Raises ModelError if a stride is not among the network's own."""
    own = reductions(trunk)
    missing = [stride for stride in strides if stride not in own]
    if missing or not strides:
        raise ModelError(f"the network has features at strides {own}, not at {missing or 'none'}")
    return tuple(len(own) - 1 - own[::-1].index(stride) for stride in strides)


def take_stages(
    trunk: Any, batch: torch.Tensor, stages: tuple[int, ...], norm: bool = False
) -> list[torch.Tensor]:
    """Maps (B, C_i, h_i, w_i) after the given stages, in their order, running no further than the last."""
    order = sorted(set(stages))
    maps = trunk.forward_intermediates(
        batch, indices=order, norm=norm, stop_early=True, intermediates_only=True
    )
    by_stage = dict(zip(order, maps, strict=True))
    return [by_stage[stage] for stage in stages]


def lags(take: Callable[[torch.Tensor], Sequence[torch.Tensor]], like: torch.Tensor) -> tuple[float, ...]:
    """How far each depth's cells look before the middle of their pixels, as a share of a cell.

    The gradient of the middle cell over noise finds the pixels that it depends on. Their centre of gravity is
    the place that the cell looks at.

    Args:
        take: (B, 3, h, w) to maps (B, C_i, h_i, w_i).
        like: any tensor of the network's device and type.

    Returns:
        One for each depth, in [-1, 1]; 0 if cells look at their middle.
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
    """(B, C, h, w) resampled linearly to the middles of its cells; the border is repeated beyond the edge."""
    if lag == 0.0:
        return depth
    if lag < 0.0:
        return recentre(depth.flip((2, 3)), -lag).flip((2, 3))
    padded = F.pad(depth, (0, 1, 0, 1), mode="replicate")
    across = torch.lerp(padded[..., :-1], padded[..., 1:], lag)
    return torch.lerp(across[..., :-1, :], across[..., 1:, :], lag)
