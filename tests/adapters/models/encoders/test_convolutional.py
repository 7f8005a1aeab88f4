"""Convolutional networks in two parts: depths first, and words for the images that need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch.nn import functional as F

from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.convolutional import continuation
from adapters.models.encoders.depths import stages_at, take_stages
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare
from adapters.models.runtimes.compiler import Compiler
from agent.domain.frame import Image
from tests.adapters.models.conftest import CONVOLUTIONAL, save_model

Files = tuple[Path, Path]


@pytest.mark.parametrize(
    "name", ["mobilenetv2_035", "resnet10t", "convnext_atto", "mobilenetv3_small_050", "regnetx_002"]
)
@torch.inference_mode()
def test_a_network_goes_on_from_the_map_of_a_stage(name: str) -> None:
    torch.manual_seed(0)
    trunk: Any = timm.create_model(name, pretrained=False, num_classes=0).eval()
    (stage,) = stages_at(trunk, (16,))
    rest = continuation(trunk, stage)
    assert rest is not None
    batch = torch.randn(2, 3, 72, 104)
    (state,) = take_stages(trunk, batch, (stage,))
    assert torch.equal(rest(state), trunk.forward_features(batch))
    own = {id(parameter) for parameter in trunk.parameters()}
    assert {id(parameter) for parameter in rest.parameters()} < own, (
        "the same weights, of the later layers alone"
    )


@pytest.mark.slow
def test_a_network_of_several_branches_cannot_be_cut() -> None:
    trunk = timm.create_model("hrnet_w18_small", pretrained=False, num_classes=0).eval()
    (stage,) = stages_at(trunk, (16,))
    assert continuation(trunk, stage) is None


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
@pytest.mark.parametrize("kind", ["vit", "convolutional"])
def test_words_are_computed_for_the_images_that_need_them(
    request: pytest.FixtureRequest, kind: str, runtime: str, images: list[Image]
) -> None:
    files: Files = request.getfixturevalue(f"{kind}_files")
    blocks = (2, -1) if kind == "vit" else None
    encoder = OpenClipEncoder(*files, CLIP_PREPROCESSING, blocks=blocks, compiler=Compiler(runtime))
    shown = [*images, *images]
    wanted = encoder.encode_images(shown, 64)
    assert dict(encoder.counters.snapshot()) == {"depths": 4, "words": 4}
    begun = encoder.start_pass(shown, 64)
    for found, depth in zip(begun.depths, wanted.depths, strict=True):
        torch.testing.assert_close(found, depth, rtol=1e-5, atol=1e-5)
    assert dict(encoder.counters.snapshot()) == {"depths": 8, "words": 4}
    for rows in ([3, 0], [1], []):
        some = begun.finish(rows)
        torch.testing.assert_close(some.image, wanted.image[rows], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(some.patches, wanted.patches[rows], rtol=1e-4, atol=1e-5)
        for found, depth in zip(some.depths, wanted.depths, strict=True):
            torch.testing.assert_close(found, depth[rows], rtol=1e-5, atol=1e-5)
    assert dict(encoder.counters.snapshot()) == {"depths": 8, "words": 7}
    encoder.encode_patches(shown, 64)
    assert dict(encoder.counters.snapshot()) == {"depths": 12, "words": 7}


def test_all_places_of_a_linear_head_are_one_matrix_product(convolutional: OpenClipEncoder) -> None:
    """Its values: tests/adapters/models/encoders/test_clip.py."""
    words = convolutional._tower._words._module  # type: ignore[attr-defined]
    weight, bias = words._places
    assert (weight.shape, bias.shape) == ((24, 1280), (24,))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "projection"), [("resnet10t", "mlp"), ("convnext_atto", "linear")])
def test_places_go_through_any_head_as_whole_images_do(
    tmp_path: Path, images: list[Image], network: str, projection: str
) -> None:
    """An activation and a layer norm: these heads are not linear."""
    vision = {"timm_model_name": network, "timm_pool": "avg", "timm_proj": projection}
    own = {**CONVOLUTIONAL, "vision_cfg": {**CONVOLUTIONAL["vision_cfg"], **vision}}
    encoder = OpenClipEncoder(
        *save_model(tmp_path, network, own), CLIP_PREPROCESSING, compiler=Compiler("onnxruntime")
    )
    assert encoder.runtime == encoder._tower._words.runtime == "onnxruntime"  # type: ignore[attr-defined]
    batch = prepare(images, 64, CLIP_PREPROCESSING, torch.device("cpu"), torch.float32)
    visual = encoder._model.visual
    with torch.inference_mode():
        place = visual.trunk.forward_features(batch)[1:, :, 1:, :1]
        expected = F.normalize(visual.head(visual.trunk.forward_head(place))[0], dim=0)
    found = encoder.encode_images(images, 64).patches[1, 1, 0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
