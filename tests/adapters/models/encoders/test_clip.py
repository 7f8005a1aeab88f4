"""The open_clip adapter with both kinds of image tower, from files, offline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare
from agent.domain.errors import ModelError
from agent.domain.frame import Image

Files = tuple[Path, Path]


@pytest.fixture(params=["vit", "convolutional"])
def encoder(request: pytest.FixtureRequest) -> OpenClipEncoder:
    return request.getfixturevalue(request.param)


def test_embeddings_have_unit_length(encoder: OpenClipEncoder, images: list[Image]) -> None:
    features = encoder.encode_images(images, 64)
    texts = encoder.encode_texts(["a photo of a gear", "a damaged gear", "x " * 100])
    assert features.image.shape == (2, encoder.dimensions)
    assert texts.shape == (3, encoder.dimensions)
    for vectors in (features.image, features.patches, texts):
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(()), atol=1e-5)
    assert encoder.logit_scale > 1
    assert len(encoder.digest) == 64


def test_a_batch_of_two_equals_two_batches_of_one(encoder: OpenClipEncoder, images: list[Image]) -> None:
    both = encoder.encode_images(images, 64)
    alone = [encoder.encode_images([image], 64) for image in images]
    for name in ("image", "patches"):
        assert torch.allclose(
            getattr(both, name), torch.cat([getattr(one, name) for one in alone]), atol=1e-5
        )
    for index, depth in enumerate(both.depths):
        assert torch.allclose(depth, torch.cat([one.depths[index] for one in alone]), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(both.image[0], both.image[1], atol=1e-3)


def test_five_images_keep_their_order_and_each_its_own_features(
    encoder: OpenClipEncoder, images: list[Image]
) -> None:
    """On a processor a convolutional network takes few of them at once."""
    first, second = images
    shown = [first, second, second, first, second]
    features, two = encoder.encode_images(shown, 64), encoder.encode_images(images, 64)
    for found, wanted in ((features.image, two.image), (features.patches, two.patches)):
        assert torch.allclose(found, wanted[[0, 1, 1, 0, 1]], atol=1e-5)
    for found, wanted in zip(encoder.encode_patches(shown, 64), two.depths, strict=True):
        assert torch.allclose(found, wanted[[0, 1, 1, 0, 1]], rtol=1e-4, atol=1e-4)


def test_patches_alone_are_the_depths(encoder: OpenClipEncoder, images: list[Image]) -> None:
    expected = encoder.encode_images(images, 64).depths
    for own, wanted in zip(encoder.encode_patches(images, 64), expected, strict=True):
        assert torch.allclose(own, wanted, atol=1e-5)


def test_global_embeddings_equal_open_clips_own(encoder: OpenClipEncoder, images: list[Image]) -> None:
    size = 32 if encoder.name == "small-vit" else 64
    batch = prepare(images, size, CLIP_PREPROCESSING, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        expected = encoder._model.encode_image(batch, normalize=True)
        tokens = open_clip.SimpleTokenizer(context_length=16)(["a gear", "two gears"])
        text = encoder._model.encode_text(tokens, normalize=True)
    assert torch.allclose(encoder.encode_images(images, size).image, expected, atol=1e-5)
    assert torch.allclose(encoder.encode_texts(["a gear", "two gears"]), text, atol=1e-6)


def test_texts_without_their_padding_are_what_they_are_with_it(encoder: OpenClipEncoder) -> None:
    """Of one pass: a short text, one that ends in the token 0, and one that is cut at the context."""
    texts = ["a gear", "broken!", "a gear with a long crack!", "x " * 100]
    with torch.inference_mode():
        tokens = open_clip.SimpleTokenizer(context_length=16)(texts)
        wanted = encoder._model.encode_text(tokens, normalize=True)
    assert torch.allclose(encoder.encode_texts(texts), wanted, atol=1e-6)
    assert torch.allclose(encoder.encode_texts(texts[:2]), wanted[:2], atol=1e-6)


def test_depth_shapes(vit: OpenClipEncoder, convolutional: OpenClipEncoder, images: list[Image]) -> None:
    of_vit = vit.encode_images(images, 64)
    assert [tuple(depth.shape) for depth in of_vit.depths] == [(2, 8, 8, 32)] * 2
    assert of_vit.patches.shape == (2, 8, 8, 24)
    of_convolutional = convolutional.encode_images(images, 64)
    assert [tuple(depth.shape[1:3]) for depth in of_convolutional.depths] == [(8, 8), (4, 4)]
    assert of_convolutional.patches.shape == (2, 2, 2, 24)


def test_a_transformer_gives_projected_tokens(vit_files: Files, images: list[Image]) -> None:
    encoder = OpenClipEncoder(*vit_files, CLIP_PREPROCESSING)
    (depth,) = encoder.encode_patches(images, 32)
    assert depth.shape == (2, 4, 4, 24)
    patches = encoder.encode_images(images, 32).patches
    assert not torch.allclose(F.normalize(depth, dim=-1), patches, atol=1e-2), "GEM and plain tokens differ"


def test_convolutional_patches_are_the_global_head_at_each_place(
    convolutional: OpenClipEncoder, images: list[Image]
) -> None:
    trunk = convolutional._model.visual.trunk
    batch = prepare(images, 64, CLIP_PREPROCESSING, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        last = trunk.forward_features(batch)
        place = last[1, :, 1, 0]
        expected = F.normalize(trunk.classifier(torch.cat([place, place])), dim=0)
    assert torch.allclose(convolutional.encode_images(images, 64).patches[1, 1, 0], expected, atol=1e-5)


def test_an_output_stride_refines_the_patches_only(convolutional_files: Files, images: list[Image]) -> None:
    coarse = OpenClipEncoder(*convolutional_files, CLIP_PREPROCESSING)
    dense = OpenClipEncoder(*convolutional_files, CLIP_PREPROCESSING, output_stride=16)
    a, b = coarse.encode_images(images, 64), dense.encode_images(images, 64)
    assert b.patches.shape[1:3] == (4, 4)
    for own, wanted in zip(b.depths, a.depths, strict=True):
        assert torch.equal(own, wanted)


def test_weights_of_half_precision_and_pytorch_files(
    vit_files: Files, tmp_path: Path, images: list[Image]
) -> None:
    state = load_file(str(vit_files[1]))
    half, pickled = tmp_path / "half.safetensors", tmp_path / "model.pt"
    save_file({key: value.half() for key, value in state.items()}, half)
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, pickled)
    exact = OpenClipEncoder(*vit_files, CLIP_PREPROCESSING).encode_images(images, 32).image
    for path, tolerance in ((pickled, 0.0), (half, 5e-3)):
        own = OpenClipEncoder(vit_files[0], path, CLIP_PREPROCESSING).encode_images(images, 32).image
        assert own.dtype == torch.float32
        assert torch.allclose(own, exact, atol=tolerance)


def test_a_missing_file_says_how_to_get_it(vit_files: Files, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sightline models pull"):
        OpenClipEncoder(vit_files[0], tmp_path / "none.safetensors", CLIP_PREPROCESSING)


def test_another_digest_is_refused(vit_files: Files) -> None:
    with pytest.raises(ModelError, match="was expected"):
        OpenClipEncoder(*vit_files, CLIP_PREPROCESSING, sha256="0" * 64)


def test_weights_of_another_architecture_are_refused(vit_files: Files, convolutional_files: Files) -> None:
    with pytest.raises(ModelError, match=r"do not fit the architecture small-vit.*missing.*unexpected"):
        OpenClipEncoder(vit_files[0], convolutional_files[1], CLIP_PREPROCESSING)


def test_weights_of_another_shape_are_refused(vit_files: Files, tmp_path: Path) -> None:
    state = load_file(str(vit_files[1]))
    state["text_projection"] = state["text_projection"][:, :-1].contiguous()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="text_projection has shape"):
        OpenClipEncoder(vit_files[0], tmp_path / "w.safetensors", CLIP_PREPROCESSING)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_files_are_refused(vit_files: Files, tmp_path: Path, suffix: str) -> None:
    damaged = tmp_path / f"damaged{suffix}"
    damaged.write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError, match="cannot be read"):
        OpenClipEncoder(vit_files[0], damaged, CLIP_PREPROCESSING)


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def test_files_that_carry_code_are_refused(vit_files: Files, tmp_path: Path) -> None:
    torch.save({"state_dict": _Payload()}, tmp_path / "code.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        OpenClipEncoder(vit_files[0], tmp_path / "code.pt", CLIP_PREPROCESSING)


def test_an_unknown_architecture_is_refused(tmp_path: Path, vit_files: Files) -> None:
    with pytest.raises(ModelError, match="knows no architecture"):
        OpenClipEncoder("ViT-Z-99", vit_files[1], CLIP_PREPROCESSING)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ModelError, match="as JSON"):
        OpenClipEncoder(tmp_path / "bad.json", vit_files[1], CLIP_PREPROCESSING)


@pytest.mark.slow
def test_importing_the_adapters_loads_no_model_library() -> None:
    code = (
        "import sys, adapters.models.registry\n"
        "import adapters.models.encoders.clip, adapters.models.encoders.backbone\n"
        "loaded = {'open_clip', 'timm', 'transformers', 'torchvision'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_model_from_files_needs_no_network(vit_files: Files) -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise OSError('no network in this test')\n"
        "socket.socket.connect = refuse\n"
        "from pathlib import Path\n"
        "from adapters.models.encoders.clip import OpenClipEncoder\n"
        "from adapters.models.encoders.normalisation import CLIP_PREPROCESSING\n"
        "OpenClipEncoder(sys.argv[1], Path(sys.argv[2]), CLIP_PREPROCESSING).encode_texts(['a'])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", code, *map(str, vit_files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
