"""Known models and the bundled one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapters.models.clip import OpenClipEncoder
from adapters.models.registry import BUNDLED, KNOWN, bundled_folder, load_backbone, load_clip, resolve
from adapters.models.weights import sha256_of
from agent.errors import ModelError
from agent.frame import Image

MAX_BYTES = 15_000_000


@pytest.fixture(scope="module")
def tiny() -> OpenClipEncoder:
    return load_clip(BUNDLED, Path("nowhere"))


def test_the_bundled_model_is_complete_and_small() -> None:
    folder, known = bundled_folder(), KNOWN[BUNDLED]
    weights = folder / known.file_name
    assert weights.stat().st_size <= MAX_BYTES
    assert sha256_of(weights) == known.sha256
    card = (folder / "MODEL_CARD.md").read_text()
    assert "MobileNetV2" in card
    assert "Apache-2.0" in card


def test_the_bundled_model_encodes_deterministically(tiny: OpenClipEncoder, pictures: list[Image]) -> None:
    first, second = tiny.encode_images(pictures, 128), tiny.encode_images(pictures, 128)
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.patches, second.patches)
    assert torch.allclose(first.image.norm(dim=1), torch.ones(2), atol=1e-5)
    assert [tuple(depth.shape) for depth in first.depths] == [(2, 16, 16, 32), (2, 8, 8, 96)]
    texts = tiny.encode_texts(["a damaged gear", "a flawless gear"])
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)
    assert 1 < tiny.logit_scale <= 100
    assert tiny.digest == KNOWN[BUNDLED].sha256


def test_a_batch_of_two_equals_two_batches_of_one(tiny: OpenClipEncoder, pictures: list[Image]) -> None:
    both = tiny.encode_images(pictures, 128)
    alone = torch.cat([tiny.encode_images([picture], 128).patches for picture in pictures])
    assert torch.allclose(both.patches, alone, atol=1e-5)


def test_where_weights_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sightline models pull"):
        resolve("ViT-B-16-plus-240", tmp_path, {})
    placed = tmp_path / KNOWN["ViT-B-16-plus-240"].file_name
    placed.touch()
    assert resolve("ViT-B-16-plus-240", tmp_path, {}) == placed
    own = tmp_path / "own.pt"
    own.touch()
    assert resolve("ViT-B-16-plus-240", tmp_path, {"ViT-B-16-plus-240": str(own)}) == own
    assert resolve(BUNDLED, tmp_path, {}) == bundled_folder() / KNOWN[BUNDLED].file_name
    other = tmp_path / "resnet18.pth"
    other.touch()
    assert resolve("timm:resnet18", tmp_path, {}) == other


def test_names_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no vision-language model"):
        load_clip("mobilenetv2_100", tmp_path)
    with pytest.raises(ModelError, match="vision-language model"):
        load_backbone(f"timm:{BUNDLED}", tmp_path)
