"""``run_blocks``: GEM, text-comparable patch tokens of a CLIP transformer (Bousselham et al. 2023).

As run by FADE (METHODS section 1.2): in the last six blocks a second stream attends query to query, key to
key and value to value, normalised, refined once and averaged; it starts as the input of the first of these
blocks and takes its inputs from the normal stream, which stays untouched.
"""

from __future__ import annotations

from collections.abc import Iterable
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


def run_blocks(
    blocks: Iterable[Any], tokens: torch.Tensor, keep: tuple[int, ...] = (), gem_blocks: int = GEM_BLOCKS
) -> tuple[torch.Tensor, torch.Tensor, dict[int, torch.Tensor]]:
    """Normal stream, GEM stream, and the normal stream after each block of ``keep``; all (B, T, C)."""
    blocks = list(blocks)
    first = max(0, len(blocks) - gem_blocks)
    kept: dict[int, torch.Tensor] = {}
    gem = tokens
    for index, block in enumerate(blocks):
        if index == first:
            gem = tokens
        if index >= first:
            gem = gem + block.ls_1(gem_attention(block.attn, block.ln_1(tokens)))
        tokens = block(tokens)
        if index in keep:
            kept[index] = tokens
    return tokens, gem, kept
