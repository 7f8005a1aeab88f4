"""Which stages of a timm network give the patch features, and how to take them."""

from __future__ import annotations

from typing import Any

import torch

from agent.domain.errors import ModelError


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
    """The last stage at each stride. Raises ModelError where a stride is not among the network's own."""
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
