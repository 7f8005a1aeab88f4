"""Images that keep their aspect ratio, as AnomalyDINO shows them (METHODS section 8.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import IMAGENET_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare, resize_keeping_aspect
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Recipe, Reference
from agent.methods import build_method


def drawn(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((100, 100), (56, 56)),
        ((100, 150), (56, 84)),  # exactly 84
        ((150, 100), (84, 56)),
        ((100, 149), (56, 70)),  # 83.44, cut to 70
        ((100, 1000), (56, 560)),
    ],
)
def test_the_shorter_side_is_the_size_and_the_rest_is_cut_to_whole_patches(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert tuple(resize_keeping_aspect(drawn(*shape), 56, 14, "bicubic").shape) == (3, *expected)


def test_the_cut_is_at_the_right_and_at_the_bottom() -> None:
    image = drawn(100, 149)
    whole = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = F.interpolate(whole, (56, 83), mode="bicubic", antialias=True)[0]
    assert torch.equal(resize_keeping_aspect(image, 56, 14, "bicubic"), resized[:, :56, :70])


def test_images_of_other_shapes_do_not_share_a_batch() -> None:
    device = torch.device("cpu")
    both = [drawn(40, 40), drawn(40, 80)]
    with pytest.raises(ModelError, match="only if it is the same"):
        prepare(both, 56, IMAGENET_PREPROCESSING, device, torch.float32, keep_aspect=14)
    assert prepare(both, 56, IMAGENET_PREPROCESSING, device, torch.float32).shape == (2, 3, 56, 56)


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> tuple[TimmBackbone, Any]:
    """A shallow network of DINOv2's class: patches of 14, positions of a 37 x 37 grid."""
    torch.manual_seed(1)
    shallow: dict[str, Any] = {"embed_dim": 24, "depth": 2, "num_heads": 2}
    network: Any = timm.create_model(
        "vit_small_patch14_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True, **shallow
    ).eval()
    path = tmp_path_factory.mktemp("dino") / "dino.safetensors"
    save_file(network.state_dict(), path)
    create = timm.create_model
    with pytest.MonkeyPatch.context() as patch:  # the same class in a size that tests can afford
        patch.setattr(timm, "create_model", lambda name, **options: create(name, **options, **shallow))
        return TimmBackbone("vit_small_patch14_dinov2", path, IMAGENET_PREPROCESSING), network


def test_dinov2_tokens_of_a_wide_image(dino: tuple[TimmBackbone, Any]) -> None:
    backbone, network = dino
    (tokens,) = backbone.encode_patches([drawn(60, 100)], 56, keep_aspect=True)
    assert tokens.shape == (1, 4, 6, 24)
    batch = prepare(
        [drawn(60, 100)], 56, IMAGENET_PREPROCESSING, torch.device("cpu"), torch.float32, keep_aspect=14
    )
    with torch.inference_mode():
        expected = network.forward_features(batch)[:, 1:]
    torch.testing.assert_close(tokens.flatten(1, 2), expected, rtol=0, atol=1e-5)


def test_clip_keeps_the_aspect_too(vit: OpenClipEncoder, convolutional: OpenClipEncoder) -> None:
    assert vit.encode_patches([drawn(40, 64)], 40, keep_aspect=True)[0].shape[1:3] == (5, 8)
    depths = convolutional.encode_patches([drawn(40, 80)], 64, keep_aspect=True)
    assert [tuple(depth.shape[1:3]) for depth in depths] == [(8, 16), (4, 8)]


def test_anomaly_dino_on_dinov2_finds_what_differs(dino: tuple[TimmBackbone, Any]) -> None:
    method = build_method("anomaly-dino", backbone=dino[0], parameters={"size": 112})
    good = np.full((80, 120, 3), 128, np.uint8)
    bad = good.copy()
    bad[50:70, 80:100] = (255, 0, 0)
    reference = (Reference("0", "0.png", "0"),)
    recipe = Recipe("A", "part", compositional_ensemble("part"), "anomaly-dino", {}, reference)
    prepared = method.prepare(recipe, [good])
    known, other = method.score([good, bad], [prepared, prepared])
    assert known.score == pytest.approx(0.0, abs=1e-5)
    assert other.score > known.score
    assert other.anomaly_map is not None
    assert other.anomaly_map.shape == (80, 120)


@pytest.mark.parametrize("name", ["winclip", "fade"])
def test_methods_of_words_run_on_a_vision_transformer(
    vit: OpenClipEncoder, name: str, tmp_path: Path
) -> None:
    parameters = {"winclip": {"size": 40}, "fade": {"scales": [32, 40]}}[name]
    method = build_method(name, vit, parameters=parameters)  # type: ignore[arg-type]
    recipe = Recipe("A", "part", compositional_ensemble("part"), name)
    scored = method.score([drawn(40, 64)], [method.prepare(recipe, ())])[0]
    assert 0.0 <= scored.score <= 1.0
    assert scored.anomaly_map is not None
    assert torch.isfinite(scored.anomaly_map).all()


def test_towers_take_a_height_and_a_width_rounded_to_their_patches(
    vit: OpenClipEncoder, convolutional: OpenClipEncoder
) -> None:
    features = vit.encode_images([drawn(60, 90)], (42, 62))
    assert features.patches.shape[1:3] == (5, 8), "patches of 8 pixels: 40 x 64"
    assert features.depths[0].shape[1:3] == (5, 8)
    wide = convolutional.encode_images([drawn(60, 90)], (64, 96))
    assert [tuple(depth.shape[1:3]) for depth in wide.depths] == [(8, 12), (4, 6)]
