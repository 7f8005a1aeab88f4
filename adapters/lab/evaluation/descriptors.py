"""Hand-made patch descriptors: oriented gradients and colour moments, no model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from adapters.models.encoders.preprocessing import resize
from agent.domain.frame import Image

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
        self, images: Sequence[Image], size: int, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """(B, h, w, 15) on each grid: 8 orientations, 3 means, 3 deviations, 1 constant.

        Raises ValueError where the aspect ratio is to be kept, which these grids do not.
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
