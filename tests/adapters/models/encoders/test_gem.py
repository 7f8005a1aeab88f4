"""GEM against a slow reference written head by head from METHODS section 1.2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.gem import Streams
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare
from adapters.models.encoders.towers import position_table
from adapters.models.untrained import untrained_clip
from agent.domain.frame import Image

TRUE_NAME = "ViT-B-16-plus-240"


def _slow_attention(attention: torch.nn.MultiheadAttention, tokens: torch.Tensor) -> torch.Tensor:
    """One image, (T, C): every head and projection by itself, with explicit score matrices."""
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


def _slow_attention_of_one_head(tokens: torch.Tensor) -> torch.Tensor:
    """Ordinary self-attention of one head, (3, T, c) to (T, c)."""
    query, key, value = tokens
    return torch.softmax(query @ key.T / query.shape[1] ** 0.5, dim=1) @ value


def _slow_block(block: Any, stream: torch.Tensor) -> torch.Tensor:
    """One block of the normal stream, (T, C), head by head, so that 3137 tokens fit into memory."""
    attention: torch.nn.MultiheadAttention = block.attn
    count, heads = len(stream), attention.num_heads
    projected = block.ln_1(stream) @ attention.in_proj_weight.T + attention.in_proj_bias
    by_head = projected.view(count, 3, heads, -1).permute(2, 1, 0, 3)
    joined = torch.cat([_slow_attention_of_one_head(head) for head in by_head], dim=1)
    stream = stream + joined @ attention.out_proj.weight.T + attention.out_proj.bias
    after: torch.Tensor = stream + block.mlp(block.ln_2(stream))
    return after


def _slow_patches(model: OpenClipEncoder, image: Image, size: int) -> torch.Tensor:
    visual = model._model.visual
    batch = prepare([image], size, CLIP_PREPROCESSING, torch.device("cpu"), torch.float32)
    grid = size // visual.patch_size[0]
    tokens = visual.conv1(batch)[0].flatten(1).T
    table = position_table(visual.positional_embedding, visual.grid_size, (grid, grid))
    stream = visual.ln_pre(torch.cat([visual.class_embedding[None], tokens]) + table)
    gem = stream
    blocks = visual.transformer.resblocks
    for index, block in enumerate(blocks):
        if index == max(len(blocks) - 6, 0):
            gem = stream
        if index >= len(blocks) - 6:
            gem = gem + _slow_attention(block.attn, block.ln_1(stream))
        stream = _slow_block(block, stream)
    return F.normalize(visual.ln_post(gem)[1:] @ visual.proj, dim=1).view(grid, grid, -1)


@pytest.mark.parametrize("size", [32, 56])
def test_patches_equal_a_slow_reference(vit: OpenClipEncoder, images: list[Image], size: int) -> None:
    fast = vit.encode_images(images, size).patches
    with torch.inference_mode():
        slow = torch.stack([_slow_patches(vit, image, size) for image in images])
    assert (fast - slow).abs().max() < 1e-5


@pytest.fixture(scope="module")
def true_tower() -> OpenClipEncoder:
    """The backbone of FADE at its full width and depth, away from the zeros and ones of a fresh tower."""
    encoder = untrained_clip(TRUE_NAME)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder._model.visual.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return encoder


@pytest.fixture(scope="module")
def image() -> Image:
    return np.random.default_rng(3).integers(0, 256, (300, 400, 3), dtype=np.uint8)


@pytest.mark.lab
@pytest.mark.parametrize(("size", "blocks"), [(240, 12), (448, 6), (896, 1)])
def test_the_true_tower_equals_a_slow_reference(
    true_tower: OpenClipEncoder, image: Image, size: int, blocks: int
) -> None:
    """226, 785 and 3137 tokens of full width; at 448 the blocks of GEM, at 896 one of them, for time."""
    transformer = true_tower._model.visual.transformer
    whole = transformer.resblocks
    transformer.resblocks = whole[-blocks:]
    try:
        fast = true_tower.encode_images([image], size)
        with torch.inference_mode():
            slow = _slow_patches(true_tower, image, size)
    finally:
        transformer.resblocks = whole
    assert fast.patches.shape == (1, size // 16, size // 16, 640)
    assert (fast.patches[0] - slow).abs().max() < 1e-4
    spread = fast.patches[0].flatten(0, 1).std(dim=0).mean()
    assert spread > 1e-3, "patches that are all alike would agree whatever GEM did"


@pytest.mark.slow
def test_as_many_tokens_as_at_896_through_a_narrow_tower(
    vit_files: tuple[Path, Path], images: list[Image]
) -> None:
    """3137 tokens through two blocks of GEM, of four heads each."""
    encoder = OpenClipEncoder(*vit_files, CLIP_PREPROCESSING)
    transformer = encoder._model.visual.transformer
    transformer.resblocks = transformer.resblocks[-2:]
    fast = encoder.encode_images(images[:1], 448).patches
    assert fast.shape == (1, 56, 56, 24)
    with torch.inference_mode():
        slow = _slow_patches(encoder, images[0], 448)
    assert (fast[0] - slow).abs().max() < 1e-4


@pytest.mark.lab
def test_two_images_through_the_true_tower_equal_one_by_one(
    true_tower: OpenClipEncoder, image: Image
) -> None:
    images = [image, image[::-1, ::-1].copy()]
    both = true_tower.encode_images(images, 240)
    for index, one in enumerate(images):
        alone = true_tower.encode_images([one], 240)
        assert (both.image[index] - alone.image[0]).abs().max() < 1e-5
        assert (both.patches[index] - alone.patches[0]).abs().max() < 1e-5
        depth = F.normalize(both.depths[0][index], dim=-1) - F.normalize(alone.depths[0][0], dim=-1)
        assert depth.abs().max() < 1e-5
    assert (both.patches[0] - both.patches[1]).abs().max() > 1e-3


def test_the_normal_stream_is_untouched(vit: OpenClipEncoder) -> None:
    blocks = vit._model.visual.transformer.resblocks
    tokens = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = tokens
        for block in blocks:
            expected = block(expected)
        streams = Streams(blocks, tokens, keep=(1,))
        streams.advance(len(blocks))
        gem = streams.gem()
    assert torch.allclose(streams.tokens, expected, atol=1e-6)
    assert not torch.allclose(streams.tokens, gem, atol=1e-2)
    assert list(streams.kept) == [1]


def test_a_shallow_tower_starts_gem_at_its_first_block(vit: OpenClipEncoder) -> None:
    blocks = vit._model.visual.transformer.resblocks[:3]
    tokens = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        streams = Streams(blocks, tokens)
        streams.advance(len(blocks))
        gem = streams.gem()
        expected, stream = tokens, tokens
        for block in blocks:
            expected = expected + _slow_attention(block.attn, block.ln_1(stream)[0])[None]
            stream = block(stream)
    assert torch.allclose(gem, expected, atol=1e-5)


def test_the_position_table_at_the_scales_of_fade() -> None:
    """15 x 15 to 28 x 28 and 56 x 56, by the cubic kernel of Pillow (a = -0.5), not PyTorch's usual one."""
    from PIL import Image as Pillow

    table = torch.randn(226, 896, generator=torch.Generator().manual_seed(4))
    for side in (15, 28, 56):
        resized = position_table(table, (15, 15), (side, side))
        assert resized.shape == (1 + side * side, 896)
        channel = table[1:, 5].reshape(15, 15).numpy()
        wanted = np.asarray(Pillow.fromarray(channel).resize((side, side), Pillow.Resampling.BICUBIC))
        np.testing.assert_allclose(resized[1:, 5].reshape(side, side).numpy(), wanted, atol=1e-5)


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
