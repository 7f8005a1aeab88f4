"""``Streams``: GEM, text-comparable patch tokens of a CLIP transformer (Bousselham et al. 2023).

As run by FADE (METHODS section 1.2): in the last six blocks a second stream attends query to query, key to
key and value to value, normalised, refined once and averaged; it starts as the input of the first of these
blocks and takes its inputs from the normal stream, which stays untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

GEM_BLOCKS = 6
"""How many of the last blocks take part; a shallower model has fewer."""


def gem_attention(attention: nn.MultiheadAttention, tokens: torch.Tensor) -> torch.Tensor:
    """One block's addition to the GEM stream: (B, T, C) from the layer-normalised tokens (B, T, C).

    The temperature beta is the mean token norm over the square root of the head width, one scalar for each
    image. It is folded into the queries, so that both softmaxes of q, k and v run as one call of
    ``scaled_dot_product_attention`` over three times as many heads, and no (T, T) matrix is stored.
    """
    batch, count, width = tokens.shape
    heads = attention.num_heads
    # Always in float32: a temperature of three digits would sharpen or blunt every patch.
    beta = tokens.float().norm(dim=-1).mean(dim=1) / (width // heads) ** 0.5
    projected = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    split = projected.view(batch, count, 3, heads, width // heads).permute(0, 2, 3, 1, 4)
    value = split[:, 2]
    stacked = F.normalize(split, dim=-1).flatten(1, 2)  # (B, 3 heads, T, head width): q, k and v
    scale = beta[:, None, None, None]
    queries = (stacked * scale).to(stacked.dtype)
    refined = F.normalize(F.scaled_dot_product_attention(queries, stacked, stacked, scale=1.0), dim=-1)
    queries = (refined * scale).to(stacked.dtype)
    values = value.repeat(1, 3, 1, 1)
    assigned = F.scaled_dot_product_attention(queries, refined, values, scale=1.0)
    mean = assigned.view(batch, 3, heads, count, width // heads).mean(dim=1)
    merged = mean.transpose(1, 2).reshape(batch, count, width)
    return F.linear(merged, attention.out_proj.weight, attention.out_proj.bias)


class Streams:
    """The normal stream through the blocks as far as it is asked for, and the GEM stream beside it.

    Args:
        tokens: (B, T, C) of the first block.
        keep: the blocks after which the normal stream is kept.
    """

    def __init__(
        self,
        blocks: Iterable[Any],
        tokens: torch.Tensor,
        keep: tuple[int, ...] = (),
        gem_blocks: int = GEM_BLOCKS,
    ) -> None:
        self.blocks = list(blocks)
        self.tokens = tokens
        """(B, T, C) of the normal stream after the blocks that it passed."""
        self.kept: dict[int, torch.Tensor] = {}
        """The same after each block of ``keep``."""
        self._keep, self._first = keep, max(0, len(self.blocks) - gem_blocks)
        self._passed = 0
        self._inputs: list[torch.Tensor] = []

    def advance(self, stop: int) -> None:
        """Through the blocks before number ``stop`` that it has not passed yet."""
        for index in range(self._passed, stop):
            if index >= self._first:
                self._inputs.append(self.tokens)
            self.tokens = self.blocks[index](self.tokens)
            if index in self._keep:
                self.kept[index] = self.tokens
        self._passed = max(self._passed, stop)

    def gem(self) -> torch.Tensor:
        """(B, T, C) of the GEM stream, once the normal stream has passed all blocks."""
        gem = self._inputs[0]
        for block, tokens in zip(self.blocks[self._first :], self._inputs, strict=True):
            gem = gem + block.ls_1(gem_attention(block.attn, block.ln_1(tokens)))
        return gem

    def of(self, rows: Sequence[int]) -> Streams:
        """Those of some images, as far as they are."""
        chosen = list(rows)
        streams = Streams(self.blocks, self.tokens[chosen], self._keep)
        streams.kept = {index: tokens[chosen] for index, tokens in self.kept.items()}
        streams._first, streams._passed = self._first, self._passed
        streams._inputs = [tokens[chosen] for tokens in self._inputs]
        return streams
