"""The losses of phase B: images and places against words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def caption_loss(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, same: torch.Tensor
) -> torch.Tensor:
    """Symmetric contrast (Radford et al. 2021) of (B, D) unit embeddings.

    ``same`` (B, B) marks pairs that are true of each other too (same family, same state): they are no
    negatives. The same part in the other state is one, the hardest.
    """
    logits = scale * images @ texts.T
    others = same & ~torch.eye(len(images), dtype=torch.bool, device=images.device)
    logits = logits.masked_fill(others, -1e4)
    target = torch.arange(len(images), device=images.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def state_loss(
    images: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor, defective: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of FADE's image score: sigmoid(scale f.(h_a - h_n)); direction (B, D)."""
    return F.binary_cross_entropy_with_logits(scale * (images * direction).sum(-1), defective)


def dense_loss(
    patches: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor, coverage: torch.Tensor
) -> torch.Tensor:
    """Places against words under the exact mask.

    patches (B, h, w, D) of unit length, direction (B, D), coverage (B, h, w) in [0, 1] by the defect.
    Positives are places with at least 3 % of defect, places with less are left out; both kinds weigh the
    same, and the most anomalous-looking 2 % of good places once more.
    """
    logits = scale * torch.einsum("bhwd,bd->bhw", patches, direction)
    positive, negative = coverage >= 0.03, coverage == 0
    loss = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
    of_good = loss[negative]
    hardest = of_good.topk(max(1, len(of_good) // 50)).values
    total = of_good.mean() + hardest.mean()
    return total + loss[positive].mean() if positive.any() else total


def peak_loss(
    patches: torch.Tensor, direction: torch.Tensor, scale: torch.Tensor, defective: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy of the most anomalous places of an image (mean of the largest 1 %)."""
    logits = scale * torch.einsum("bhwd,bd->bhw", patches, direction).flatten(1)
    peak = logits.topk(max(1, logits.shape[1] // 100), dim=1).values.mean(1)
    return F.binary_cross_entropy_with_logits(peak, defective)


def naming_loss(
    patches: torch.Tensor,
    phrases: torch.Tensor,
    scale: torch.Tensor,
    coverage: torch.Tensor,
    kinds: Sequence[int],
) -> torch.Tensor:
    """The mean embedding under the mask against one phrase (K, D) of each kind of defect; kinds: B
    indices, -1 for none.
    """
    weight = coverage / coverage.sum((1, 2), keepdim=True).clamp_min(1e-6)
    region = F.normalize(torch.einsum("bhwd,bhw->bd", patches, weight), dim=-1)
    target = torch.tensor(list(kinds), device=patches.device)
    known = target >= 0
    if not known.any():
        return patches.sum() * 0
    return F.cross_entropy(scale * region[known] @ phrases.T, target[known])
