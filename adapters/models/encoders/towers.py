"""``Tower`` and ``TransformerTower``: the image towers of CLIP models, as far as each is needed.

``encode_windows`` is WinCLIP's pass: small squares of patches, each alone (METHODS section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from adapters.models.encoders.convolutional import DEPTHS, WORDS
from adapters.models.encoders.depths import interleaved
from adapters.models.encoders.gem import Streams
from adapters.models.runtimes.graphs import TorchGraph
from agent.domain.errors import ModelError
from agent.ports import ImageFeatures, ImagePass, WindowFeatures, WindowPass
from agent.telemetry import Counters

WINDOW_BATCH = 1024
"""Windows of all images in one pass of the transformer, which bounds the activations."""


class Tower(Protocol):
    """An image tower of a CLIP model."""

    multiple: int
    """Side lengths in pixels are multiples of this."""
    runtime: str
    """What computes it: torch, onnxruntime or openvino."""
    counters: Counters
    """The images whose ``depths``, and whose ``words``, were computed."""

    def start(self, batch: torch.Tensor) -> ImagePass:
        """A batch (B, 3, H, W) as far as its depths."""
        ...


class TransformerTower:
    """open_clip's ``VisionTransformer``: GEM patches beside the normal tokens (METHODS sections 1.1, 1.2).

    PyTorch computes it on every device.
    """

    runtime = TorchGraph.runtime

    def __init__(self, visual: Any, blocks: tuple[int, ...] | None) -> None:
        count = len(visual.transformer.resblocks)
        if getattr(visual, "attn_pool", None) is not None:
            raise ModelError(
                "CLIP models with attentional pooling have no text-aligned patches; choose another"
            )
        if not all(isinstance(block.attn, nn.MultiheadAttention) for block in visual.transformer.resblocks):
            raise ModelError("CLIP models with custom attention blocks are not supported; choose another")
        if blocks is not None and not all(-count <= block < count for block in blocks):
            raise ModelError(f"the image tower has {count} blocks; depths {blocks} are not among them")
        self._visual = visual
        self._positions: torch.Tensor = visual.positional_embedding.detach().float()
        """As loaded: the table is resized and added in float32, whatever precision the tower has."""
        self.multiple = int(visual.patch_size[0])
        self._blocks = None if blocks is None else tuple(block % count for block in blocks)
        self.counters = Counters()

    def start(self, batch: torch.Tensor) -> TransformerPass:
        self.counters.add(DEPTHS, len(batch))
        tokens, grid = self.embed(batch)
        streams = Streams(self._visual.transformer.resblocks, tokens, self._blocks or ())
        streams.advance(len(streams.blocks) if self._blocks is None else max(self._blocks) + 1)
        return TransformerPass(self, streams, grid)

    def finish(self, streams: Streams, grid: tuple[int, int]) -> ImageFeatures:
        """From wherever the streams stand to the end."""
        self.counters.add(WORDS, len(streams.tokens))
        streams.advance(len(streams.blocks))
        return ImageFeatures(
            image=F.normalize(self.pooled(streams.tokens).float(), dim=-1),
            patches=F.normalize(_to_grid(self._projected(streams.gem()), grid), dim=-1),
            depths=self.depths(streams, grid),
        )

    def depths(self, streams: Streams, grid: tuple[int, int]) -> tuple[torch.Tensor, ...]:
        """Each (B, h, w, C), once the streams have passed the deepest."""
        if self._blocks is None:  # FADE's few-shot features: the projected patch tokens of the last block
            return (_to_grid(self._projected(streams.tokens), grid),)
        return tuple(_to_grid(streams.kept[block], grid) for block in self._blocks)

    def embed(self, batch: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """(B, 1 + h w, C) tokens with their positions, normalised, and the grid (h, w)."""
        visual = self._visual
        patches = visual.conv1(batch)
        grid = (patches.shape[2], patches.shape[3])
        tokens = patches.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(tokens.dtype).expand(len(tokens), 1, -1)
        table = position_table(self._positions, visual.grid_size, grid)
        placed = torch.cat([first, tokens], dim=1) + table  # float32
        embedded: torch.Tensor = visual.ln_pre(placed.to(tokens.dtype))
        return embedded, grid

    def _projected(self, tokens: torch.Tensor) -> torch.Tensor:
        normed = self._visual.ln_post(tokens)
        projected: torch.Tensor = normed if self._visual.proj is None else normed @ self._visual.proj
        return projected

    def run(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T, C) tokens through all blocks; they attend to each other and to nothing else."""
        for block in self._visual.transformer.resblocks:
            tokens = block(tokens)
        return tokens

    def normed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens of the last block after the final layer norm, before the projection."""
        normed: torch.Tensor = self._visual.ln_post(tokens)
        return normed

    def pooled(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, D) embeddings, not normalised, of (B, T, C) tokens of the last block."""
        visual = self._visual
        if not visual.final_ln_after_pool:
            tokens = visual.ln_post(tokens)
        pooled = tokens[:, 1:].mean(dim=1) if visual.pool_type == "avg" else tokens[:, 0]
        if visual.final_ln_after_pool:
            pooled = visual.ln_post(pooled)
        projected: torch.Tensor = pooled if visual.proj is None else pooled @ visual.proj
        return projected


class TransformerPass:
    """See :class:`agent.ports.ImagePass`."""

    def __init__(self, tower: TransformerTower, streams: Streams, grid: tuple[int, int]) -> None:
        self.depths = tower.depths(streams, grid)
        self._tower, self._streams, self._grid = tower, streams, grid

    @torch.inference_mode()
    def finish(self, rows: Sequence[int] | None = None) -> ImageFeatures:
        streams = self._streams if rows is None else self._streams.of(rows)
        return self._tower.finish(streams, self._grid)


def _to_grid(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, 1 + h w, C) tokens to (B, h, w, C) float32, the class token dropped."""
    return tokens[:, 1:].unflatten(1, grid).float()


def position_table(table: torch.Tensor, own: tuple[int, int], wanted: tuple[int, int]) -> torch.Tensor:
    """A (1 + h w, C) position table for another grid: bicubic with antialias=True, the class row kept.

    The flag matters when enlarging too: it selects another cubic kernel in PyTorch (METHODS section 1.2).
    """
    if own == wanted:
        return table
    grid = table[1:].float().reshape(1, *own, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, wanted, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([table[:1], interleaved(resized).to(table.dtype)])


def window_indices(grid: tuple[int, int], side: int) -> torch.Tensor:
    """(n, side^2) patches of each window, stride 1, windows and patches row by row.

    Raises ModelError if no window of that side fits.
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
