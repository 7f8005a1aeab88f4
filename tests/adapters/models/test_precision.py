"""Half precision: what is computed in bf16 stays close to fp32, and what must not be is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adapters.models.device import pick_precision
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.untrained import untrained_backbone
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet
from agent.domain.recipe import Recipe
from agent.methods import build_method

Files = tuple[Path, Path]

UNIT_TOLERANCE = 2e-2
"""On one component of a unit vector. bf16 rounds a value by up to 2^-9 of it; the eight blocks of the small
tower add up some ten such errors, on components that reach 0.6 where only 24 of them share the length."""
COSINE_TOLERANCE = 2e-3
"""Half the squared distance of the two vectors: 24 components, each off by 0.012 on average at most."""


@pytest.fixture
def both(vit_files: Files) -> tuple[OpenClipEncoder, OpenClipEncoder]:
    exact = OpenClipEncoder(*vit_files, CLIP_PREPROCESSING)
    return exact, OpenClipEncoder(*vit_files, CLIP_PREPROCESSING, dtype=torch.bfloat16)


def test_features_are_close(both: tuple[OpenClipEncoder, OpenClipEncoder], images: list[Image]) -> None:
    exact, half = (encoder.encode_images(images, 56) for encoder in both)
    for wanted, own in (
        (exact.image, half.image),
        (exact.patches, half.patches),
        (F.normalize(exact.depths[0], dim=-1), F.normalize(half.depths[0], dim=-1)),
    ):
        assert own.dtype == torch.float32
        assert (own - wanted).abs().max() < UNIT_TOLERANCE
        assert ((own * wanted).sum(dim=-1) > 1.0 - COSINE_TOLERANCE).all()
    assert not torch.equal(exact.image, half.image), "otherwise nothing ran in half precision"


def test_words_and_the_position_table_stay_as_they_were_loaded(
    both: tuple[OpenClipEncoder, OpenClipEncoder],
) -> None:
    exact, half = both
    words = ["a flawless gear", "a gear with a dent"]
    assert torch.equal(exact.encode_texts(words), half.encode_texts(words))
    table = half._tower._positions  # type: ignore[attr-defined]
    assert torch.equal(table, exact._model.visual.positional_embedding)
    assert half._model.visual.conv1.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["fade", "winclip"])
def test_scores_are_close(
    both: tuple[OpenClipEncoder, OpenClipEncoder], images: list[Image], name: str
) -> None:
    """A sigmoid, of a slope of a quarter at most, of logit_scale (14.3) times the cosine with a difference of
    words shorter than 0.5: a feature that is 0.015 off moves it by 14.3 * 0.5 * 0.015 / 4 = 0.027."""
    size = {"scales": [32, 56]} if name == "fade" else {"size": 40}
    prompts = PromptSet(("a good gear", "a fine gear"), ("a broken gear", "a gear with a dent"))
    recipe = Recipe("A", "gear", prompts, name, {**size})
    results = []
    for encoder in both:
        method = build_method(name, encoder)
        results.append(method.score(images, [method.prepare(recipe, ())] * len(images)))
    for exact, half in zip(*results, strict=True):
        assert half.score == pytest.approx(exact.score, abs=0.03)
        assert exact.anomaly_map is not None
        assert half.anomaly_map is not None
        assert half.anomaly_map.dtype == torch.float32


def test_a_few_shot_backbone(images: list[Image]) -> None:
    """Unit features of 192 dimensions: the same roundings over twelve blocks."""
    exact = untrained_backbone("timm:vit_tiny_patch16_224")
    half = untrained_backbone("timm:vit_tiny_patch16_224", dtype=torch.bfloat16)
    (wanted,), (own,) = (one.encode_patches(images[:1], 64) for one in (exact, half))
    assert own.dtype == torch.float32
    assert (F.cosine_similarity(own, wanted, dim=-1) > 0.999).all()


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("auto", "cpu", torch.float32),
        ("fp32", "cpu", torch.float32),
        ("bf16", "cpu", torch.bfloat16),
        ("fp32", "cuda", torch.float32),
        ("bf16", "cuda", torch.bfloat16),
    ],
)
def test_the_name_in_the_configuration(name: str, device: str, dtype: torch.dtype) -> None:
    assert pick_precision(name, torch.device(device)) == dtype


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")
def test_auto_on_a_gpu() -> None:
    able = torch.cuda.is_bf16_supported(including_emulation=False)
    wanted = torch.bfloat16 if able else torch.float32
    assert pick_precision("auto", torch.device("cuda")) == wanted


def test_another_name_is_refused() -> None:
    with pytest.raises(ModelError, match="auto, fp32 or bf16"):
        pick_precision("fp16", torch.device("cpu"))


def test_arithmetic_of_scores_is_fp32() -> None:
    """Features leave every adapter in fp32, so neighbours and differences of words are never rounded more."""
    from agent.methods.memory import build_bank, nearest_distances

    rng = np.random.default_rng(0)
    patches = F.normalize(torch.from_numpy(rng.normal(size=(1, 4, 4, 8)).astype(np.float32)), dim=-1)
    bank = build_bank(patches, limit=100)
    assert bank.vectors.dtype == torch.float32
    assert nearest_distances(patches, bank).max() < 1e-6
