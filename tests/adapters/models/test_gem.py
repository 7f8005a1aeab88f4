"""GEM against a slow reference written head by head from METHODS section 1.2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adapters.models.clip import OpenClipEncoder
from adapters.models.gem import run_blocks
from adapters.models.preprocessing import CLIP_PREPROCESSING, prepare
from adapters.models.towers import position_table
from agent.frame import Image


def _slow_attention(attention: torch.nn.MultiheadAttention, tokens: torch.Tensor) -> torch.Tensor:
    """One picture, (T, C): every head and projection by itself, with explicit score matrices."""
    width, heads = tokens.shape[1], attention.num_heads
    head = width // heads
    beta = sum(float(token.norm()) for token in tokens) / len(tokens) / head**0.5
    projected = tokens @ attention.in_proj_weight.T + attention.in_proj_bias
    query, key, value = projected.split(width, dim=1)
    out = torch.zeros_like(tokens)
    for index in range(heads):
        part = slice(index * head, (index + 1) * head)
        for stream in (query, key, value):
            unit = stream[:, part] / stream[:, part].norm(dim=1, keepdim=True)
            refined = torch.softmax(beta * unit @ unit.T, dim=1) @ unit
            refined = refined / refined.norm(dim=1, keepdim=True)
            out[:, part] += torch.softmax(beta * refined @ refined.T, dim=1) @ value[:, part] / 3
    return out @ attention.out_proj.weight.T + attention.out_proj.bias


def _slow_patches(model: OpenClipEncoder, picture: Image, size: int) -> torch.Tensor:
    visual = model._model.visual
    batch = prepare([picture], size, CLIP_PREPROCESSING, torch.device("cpu"), torch.float32)
    grid = size // visual.patch_size[0]
    tokens = visual.conv1(batch)[0].flatten(1).T
    table = position_table(visual.positional_embedding, visual.grid_size, (grid, grid))
    stream = visual.ln_pre(torch.cat([visual.class_embedding[None], tokens]) + table)
    gem = stream
    blocks = visual.transformer.resblocks
    for index, block in enumerate(blocks):
        if index == len(blocks) - 6:
            gem = stream
        if index >= len(blocks) - 6:
            gem = gem + _slow_attention(block.attn, block.ln_1(stream))
        normed = block.ln_1(stream)[None]
        stream = stream + block.attn(normed, normed, normed, need_weights=True)[0][0]
        stream = stream + block.mlp(block.ln_2(stream))
    return F.normalize(visual.ln_post(gem)[1:] @ visual.proj, dim=1).view(grid, grid, -1)


@pytest.mark.parametrize("size", [32, 56])
def test_patches_equal_a_slow_reference(vit: OpenClipEncoder, pictures: list[Image], size: int) -> None:
    fast = vit.encode_images(pictures, size).patches
    with torch.inference_mode():
        slow = torch.stack([_slow_patches(vit, picture, size) for picture in pictures])
    assert (fast - slow).abs().max() < 1e-5


def test_the_normal_stream_is_untouched(vit: OpenClipEncoder) -> None:
    blocks = vit._model.visual.transformer.resblocks
    tokens = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = tokens
        for block in blocks:
            expected = block(expected)
        normal, gem, kept = run_blocks(blocks, tokens, keep=(1,))
    assert torch.allclose(normal, expected, atol=1e-6)
    assert not torch.allclose(normal, gem, atol=1e-2)
    assert list(kept) == [1]


def test_a_shallow_tower_starts_gem_at_its_first_block(vit: OpenClipEncoder) -> None:
    blocks = vit._model.visual.transformer.resblocks[:3]
    tokens = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        _, gem, _ = run_blocks(blocks, tokens)
        expected, stream = tokens, tokens
        for block in blocks:
            expected = expected + _slow_attention(block.attn, block.ln_1(stream)[0])[None]
            stream = block(stream)
    assert torch.allclose(gem, expected, atol=1e-5)


@pytest.mark.parametrize("wanted", [(4, 4), (7, 7), (2, 2)])
def test_position_table_keeps_the_class_row_and_antialiases(wanted: tuple[int, int]) -> None:
    table = torch.randn(17, 6, generator=torch.Generator().manual_seed(2))
    resized = position_table(table, (4, 4), wanted)
    assert resized.shape == (1 + wanted[0] * wanted[1], 6)
    assert torch.equal(resized[0], table[0])
    grid = table[1:].reshape(1, 4, 4, 6).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, wanted, mode="bicubic", antialias=True)
    if wanted == (4, 4):
        assert torch.equal(resized, table)
    else:
        assert np.allclose(resized[1:].numpy(), expected[0].permute(1, 2, 0).flatten(0, 1).numpy())
