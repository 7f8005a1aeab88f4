"""``ConvolutionalTower`` and ``TransformerTower``: open_clip's image towers, each as one pass.

``encode_windows`` is WinCLIP's pass: small squares of patches, each alone (METHODS section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from adapters.models.encoders.depths import interleaved, lags, recentre, stages_at, take_stages
from adapters.models.encoders.gem import run_blocks
from agent.domain.errors import ModelError
from agent.ports import ImageFeatures, WindowFeatures, WindowPass

WINDOW_BATCH = 1024
"""Windows of all images in one pass of the transformer, which bounds the activations."""
_CPU_BATCH = 2
"""Images in one pass of a convolutional network on a CPU: its caches hold the maps of so many, and larger
passes are slower."""


class Tower(Protocol):
    """An image tower of a CLIP model; all outputs channels last, float32."""

    multiple: int
    """Side lengths in pixels are multiples of this."""

    def encode(self, batch: torch.Tensor) -> ImageFeatures: ...

    def encode_depths(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]: ...


class ConvolutionalTower:
    """open_clip's ``TimmModel`` around a convolutional network.

    The text-aligned embedding of a place is the global head's output for an image that looks like this place
    everywhere. Pooling over one location is the identity (average, maximum and their concatenation alike), so
    each location of the last map goes through pooling and projection by itself.
    """

    def __init__(self, visual: Any, strides: tuple[int, ...], output_stride: int | None) -> None:
        self._trunk, self._head = visual.trunk, visual.head
        self.multiple = 1
        if output_stride is not None:
            densify(self._trunk, output_stride)
        self._stages = stages_at(self._trunk, strides)
        like = next(self._trunk.parameters())
        self._lags = lags(lambda image: take_stages(self._trunk, image, self._stages), like)

    def encode(self, batch: torch.Tensor) -> ImageFeatures:
        found = [self._encode(part) for part in _parts(batch)]
        return ImageFeatures(
            image=torch.cat([each.image for each in found]),
            patches=torch.cat([each.patches for each in found]),
            depths=_joined([each.depths for each in found]),
        )

    def encode_depths(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _joined(
            [self._recentred(take_stages(self._trunk, part, self._stages)) for part in _parts(batch)]
        )

    def _encode(self, batch: torch.Tensor) -> ImageFeatures:
        order = sorted(set(self._stages))
        last, maps = self._trunk.forward_intermediates(batch, indices=order)
        depths = [maps[order.index(stage)] for stage in self._stages]
        count, channels, height, width = last.shape
        places = last.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
        patches = self._project(places).view(count, height, width, -1)
        return ImageFeatures(
            image=F.normalize(self._project(last).float(), dim=-1),
            patches=F.normalize(patches.float(), dim=-1),
            depths=self._recentred(depths),
        )

    def _recentred(self, depths: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        pairs = zip(depths, self._lags, strict=True)
        return tuple(recentre(depth, lag).permute(0, 2, 3, 1).float() for depth, lag in pairs)

    def _project(self, last: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self._head(self._trunk.forward_head(last))
        return projected


def _parts(batch: torch.Tensor) -> Sequence[torch.Tensor]:
    return batch.split(_CPU_BATCH) if batch.device.type == "cpu" else (batch,)


def _joined(parts: Sequence[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.cat(depth) for depth in zip(*parts, strict=True))


def densify(trunk: Any, output_stride: int) -> None:
    """Let a convolutional trunk keep its last maps at ``output_stride``, dilating what follows (atrous).

    The weights stay. At locations of the original stride the values stay too, except at borders.
    Raises ModelError if timm has no dilated form of the architecture.
    """
    import timm

    name = trunk.default_cfg["architecture"]
    try:
        dilated = timm.create_model(name, pretrained=False, output_stride=output_stride)
    except (TypeError, NotImplementedError, AssertionError) as error:
        raise ModelError(
            f"the architecture {name} cannot run at an output stride of {output_stride}"
        ) from error
    for path, module in dilated.named_modules():
        if isinstance(module, nn.Conv2d) and not path.endswith("classifier"):
            own = trunk.get_submodule(path)
            own.stride, own.padding, own.dilation = module.stride, module.padding, module.dilation


class TransformerTower:
    """open_clip's ``VisionTransformer``: GEM patches beside the normal tokens (METHODS sections 1.1, 1.2)."""

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

    def encode(self, batch: torch.Tensor) -> ImageFeatures:
        tokens, grid = self.embed(batch)
        tokens, gem, kept = run_blocks(self._visual.transformer.resblocks, tokens, self._blocks or ())
        return ImageFeatures(
            image=F.normalize(self.pooled(tokens).float(), dim=-1),
            patches=F.normalize(_to_grid(self._projected(gem), grid), dim=-1),
            depths=self._depths(tokens, kept, grid),
        )

    def encode_depths(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tokens, grid = self.embed(batch)
        last = len(self._visual.transformer.resblocks) - 1
        wanted = (last,) if self._blocks is None else self._blocks
        kept: dict[int, torch.Tensor] = {}
        for index, block in enumerate(self._visual.transformer.resblocks[: max(wanted) + 1]):
            tokens = block(tokens)
            if index in wanted:
                kept[index] = tokens
        return self._depths(tokens, kept, grid)

    def _depths(
        self, tokens: torch.Tensor, kept: dict[int, torch.Tensor], grid: tuple[int, int]
    ) -> tuple[torch.Tensor, ...]:
        if self._blocks is None:  # FADE's few-shot features: the projected patch tokens of the last block
            return (_to_grid(self._projected(tokens), grid),)
        return tuple(_to_grid(kept[block], grid) for block in self._blocks)

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


def _to_grid(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(B, 1 + h w, C) tokens to (B, h, w, C) float32, the class token dropped."""
    return tokens[:, 1:].reshape(len(tokens), *grid, -1).float()


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
