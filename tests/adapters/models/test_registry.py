"""The registry of models, and the bundled one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING, IMAGENET_PREPROCESSING
from adapters.models.registry import (
    BUNDLED,
    KNOWN,
    bundled_folder,
    load_backbone,
    load_clip,
    load_detector,
    load_segmenter,
    resolve,
)
from adapters.models.weights.local import sha256_of
from adapters.models.weights.store import WeightStore
from agent.domain.errors import ModelError
from agent.domain.frame import Image

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
    assert known.sha256 in card, "the card is of these weights"
    assert "MobileNetV2" in card
    assert "Apache-2.0" in card


def test_the_bundled_model_encodes_deterministically(tiny: OpenClipEncoder, images: list[Image]) -> None:
    first, second = tiny.encode_images(images, 128), tiny.encode_images(images, 128)
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.patches, second.patches)
    assert torch.allclose(first.image.norm(dim=1), torch.ones(2), atol=1e-5)
    assert [tuple(depth.shape) for depth in first.depths] == [(2, 16, 16, 32), (2, 8, 8, 96)]
    texts = tiny.encode_texts(["a damaged gear", "a flawless gear"])
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)
    assert 1 < tiny.logit_scale <= 100
    assert tiny.digest == KNOWN[BUNDLED].sha256


def test_a_batch_of_two_equals_two_batches_of_one(tiny: OpenClipEncoder, images: list[Image]) -> None:
    both = tiny.encode_images(images, 128)
    alone = torch.cat([tiny.encode_images([image], 128).patches for image in images])
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
    with pytest.raises(ModelError, match="not a vision-language model"):
        load_clip("mobilenetv2_100", tmp_path)
    with pytest.raises(ModelError, match="vision-language model"):
        load_backbone(f"timm:{BUNDLED}", tmp_path)


def test_any_architecture_of_open_clip_with_a_local_file(
    vit_files: tuple[Path, Path],
    images: list[Image],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import open_clip

    architecture, weights = vit_files
    open_clip.add_model_config(architecture)  # as if open_clip had published it
    name, files = architecture.stem, {architecture.stem: weights}
    encoder = load_clip(name, tmp_path, files)
    assert encoder.name == name
    assert encoder._preprocessing == CLIP_PREPROCESSING
    assert "normalised as CLIP's are" in caplog.text
    assert encoder.encode_images(images, 32).patches.shape == (2, 4, 4, 24)
    caplog.clear()
    assert load_clip(name, tmp_path, files, preprocessing="imagenet")._preprocessing == IMAGENET_PREPROCESSING
    assert not caplog.text
    with pytest.raises(ModelError, match="clip, imagenet, signed"):
        load_clip(name, tmp_path, files, preprocessing="imagnet")
    with pytest.raises(ModelError, match=r"small-vit.*models.files"):
        load_clip(name, tmp_path)
    with pytest.raises(ModelError, match=r"no vision-language model 'ViT-Z'.*models.files"):
        load_clip("ViT-Z", tmp_path)


def test_a_pinned_file_is_compared_whenever_it_is_loaded(
    vit_files: tuple[Path, Path], tmp_path: Path
) -> None:
    import open_clip

    architecture, weights = vit_files
    open_clip.add_model_config(architecture)
    placed = tmp_path / f"{architecture.stem}.safetensors"
    placed.write_bytes(weights.read_bytes())
    store = WeightStore(tmp_path)
    store.lock.pin({placed.name: sha256_of(weights)})
    assert load_clip(architecture.stem, tmp_path).digest == sha256_of(weights)
    store.lock.pin({placed.name: "0" * 64})
    with pytest.raises(ModelError, match=r"000000000000... was expected.*sightline models pull"):
        load_clip(architecture.stem, tmp_path)


def test_detectors_and_segmenters_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sightline models pull grounding-dino-tiny"):
        load_detector("grounding-dino-tiny", tmp_path)
    with pytest.raises(ModelError, match="no detector 'sam_vit_b'"):
        load_detector("sam_vit_b", tmp_path)
    with pytest.raises(ModelError, match="sightline models pull sam_vit_b"):
        load_segmenter("sam_vit_b", tmp_path)
    with pytest.raises(ModelError, match="no segmenter 'sam_vit_g'"):
        load_segmenter("sam_vit_g", tmp_path)
    own = tmp_path / "own.pth"
    own.touch()
    with pytest.raises(ModelError, match="folder of several files"):
        load_detector("mine", tmp_path, {"mine": own})
    with pytest.raises(ModelError, match="vit_b, vit_l, vit_h"):
        load_segmenter("mine", tmp_path, {"mine": own})


def test_every_known_model_is_complete() -> None:
    for name, known in KNOWN.items():
        assert known.name == name
        assert known.size > 0
        assert known.licence
        assert known.bundled or known.repo or known.url or known.note
        assert all(part.remote and part.local for part in known.parts)
    assert "e32" not in str(KNOWN["ViT-B-16-plus-240"].repo)


@pytest.mark.slow
def test_equal_digests_mean_equal_features(tmp_path: Path) -> None:
    """What is not as published counts: precision, and a preprocessing that a person chose."""
    plain = load_clip("sightline-tiny", tmp_path)
    assert plain.digest == KNOWN["sightline-tiny"].sha256
    rounded = load_clip("sightline-tiny", tmp_path, dtype=torch.bfloat16)
    otherwise = load_clip("sightline-tiny", tmp_path, preprocessing="imagenet")
    assert len({plain.digest, rounded.digest, otherwise.digest}) == 3
