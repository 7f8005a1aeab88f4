"""timm networks as few-shot backbones, saved and loaded back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.depths import lags, recentre, take_stages
from adapters.models.encoders.normalisation import IMAGENET_PREPROCESSING, SIGNED_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare
from adapters.models.registry import load_backbone
from agent.domain.errors import ModelError
from agent.domain.frame import Image


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(5)
    return timm.create_model("mobilenetv2_035", pretrained=False).eval()


@pytest.fixture(scope="module")
def weights(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timm") / "mobilenetv2_035.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_features_are_those_of_timm(network: Any, weights: Path, images: list[Image]) -> None:
    backbone = TimmBackbone("mobilenetv2_035", weights, SIGNED_PREPROCESSING, strides=(16, 8))
    batch = prepare(images, 64, SIGNED_PREPROCESSING, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        expected = network.forward_intermediates(batch, intermediates_only=True)
    own = lags(lambda image: take_stages(network, image, (2, 3)), batch)
    sixteen, eight = backbone.encode_patches(images, 64)
    assert torch.allclose(eight, recentre(expected[2], own[0]).permute(0, 2, 3, 1), atol=1e-5)
    assert torch.allclose(sixteen, recentre(expected[3], own[1]).permute(0, 2, 3, 1), atol=1e-5)
    assert backbone.name == "timm:mobilenetv2_035"
    assert len(backbone.digest) == 64


def test_a_batch_of_two_equals_two_batches_of_one(weights: Path, images: list[Image]) -> None:
    backbone = TimmBackbone("mobilenetv2_035", weights)
    both = backbone.encode_patches(images, 64)
    alone = [backbone.encode_patches([image], 64) for image in images]
    for index, depth in enumerate(both):
        assert torch.allclose(depth, torch.cat([one[index] for one in alone]), rtol=1e-4, atol=1e-4)


def test_classifier_and_later_stages_may_be_missing(network: torch.nn.Module, tmp_path: Path) -> None:
    needed = ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4")
    state = {key: value for key, value in network.state_dict().items() if key.startswith(needed)}
    save_file(state, tmp_path / "part.safetensors")
    TimmBackbone("mobilenetv2_035", tmp_path / "part.safetensors")
    del state["blocks.3.0.conv_dw.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(ModelError, match=r"missing: blocks\.3\.0\.conv_dw\.weight"):
        TimmBackbone("mobilenetv2_035", tmp_path / "less.safetensors")


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match="do not fit the architecture mobilenetv2_100"):
        TimmBackbone("mobilenetv2_100", weights)
    with pytest.raises(ModelError, match="do not fit the architecture resnet18"):
        TimmBackbone("resnet18", weights)


def test_unknown_names_strides_and_digests_are_refused(weights: Path) -> None:
    with pytest.raises(ModelError, match="timm knows no architecture"):
        TimmBackbone("no_such_net", weights)
    with pytest.raises(ModelError, match="features at strides"):
        TimmBackbone("mobilenetv2_035", weights, strides=(7,))
    with pytest.raises(ModelError, match="was expected"):
        TimmBackbone("mobilenetv2_035", weights, sha256="f" * 64)


def test_a_transformer_gives_normalised_tokens_at_any_size(tmp_path: Path, images: list[Image]) -> None:
    torch.manual_seed(6)
    network: Any = timm.create_model("test_vit", pretrained=False, dynamic_img_size=True).eval()
    path = tmp_path / "test_vit.safetensors"
    save_file(network.state_dict(), path)
    backbone = TimmBackbone("test_vit", path, IMAGENET_PREPROCESSING)
    (tokens,) = backbone.encode_patches(images, 100)  # rounded to 96, a multiple of its patch of 16
    batch = prepare(images, 96, IMAGENET_PREPROCESSING, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        expected = network.forward_features(batch)[:, network.num_prefix_tokens :]
    assert tokens.shape[:3] == (2, 6, 6)
    assert torch.allclose(tokens.flatten(1, 2), expected, atol=1e-5)


def test_by_name_through_the_registry(weights: Path, tmp_path: Path, images: list[Image]) -> None:
    backbone = load_backbone("timm:mobilenetv2_035", tmp_path, {"mobilenetv2_035": str(weights)})
    assert len(backbone.encode_patches(images, 64)) == 2
    with pytest.raises(ModelError, match="sightline models pull"):
        load_backbone("timm:mobilenetv2_035", tmp_path)
    with pytest.raises(ModelError, match="there is no such file"):
        load_backbone("timm:mobilenetv2_035", tmp_path, {"mobilenetv2_035": str(tmp_path / "gone")})
