"""WinCLIP's windows: small squares of patches, each through the transformer by itself (METHODS section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from adapters.models.encoders.towers import TransformerTower
from agent.domain.errors import ModelError
from agent.ports import WindowFeatures, WindowPass

WINDOW_BATCH = 1024
"""Windows of all images that go through the transformer together: bounds the activations."""


def window_indices(grid: tuple[int, int], side: int) -> torch.Tensor:
    """(n, side^2) patches of each window, stride 1, windows and patches row by row.

    Raises ModelError where no window of that side fits.
    """
    height, width = grid
    if not 1 <= side <= min(height, width):
        raise ModelError(
            f"windows of {side} x {side} patches do not fit a grid of {height} x {width}; use a larger size"
        )
    patches = torch.arange(height * width).view(height, width)
    return patches.unfold(0, side, 1).unfold(1, side, 1).reshape(-1, side * side)


def encode_windows(tower: TransformerTower, batch: torch.Tensor, sides: Sequence[int]) -> WindowPass:
    """One pass over whole images (B, 3, s, s), and one over the windows of each side length.

    A window is the class token and its patches, positions added. The layer norm before the first block
    treats each token by itself, so that tokens taken after it equal those normalised in their window.
    """
    tokens, grid = tower.embed(batch)
    last = tower.run(tokens)
    patches = tower.normed(last)[:, 1:].reshape(len(batch), *grid, -1).float()
    windows = []
    for side in sides:
        covered = window_indices(grid, side).to(tokens.device)
        windows.append(WindowFeatures(_embeddings(tower, tokens, covered), covered))
    return WindowPass(F.normalize(tower.pooled(last).float(), dim=-1), patches, tuple(windows))


def _embeddings(tower: TransformerTower, tokens: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """(B, n, D) unit embeddings of the windows."""
    batch, count = len(tokens), len(covered)
    first, patches = tokens[:, :1], tokens[:, 1:]
    step = max(1, WINDOW_BATCH // batch)
    done = []
    for start in range(0, count, step):
        taken = patches[:, covered[start : start + step]]  # (B, n, k, C)
        alone = torch.cat([first.unsqueeze(1).expand(-1, taken.shape[1], -1, -1), taken], dim=2)
        pooled = tower.pooled(tower.run(alone.flatten(0, 1))).float()
        done.append(F.normalize(pooled, dim=-1).view(batch, taken.shape[1], -1))
    return torch.cat(done, dim=1)
