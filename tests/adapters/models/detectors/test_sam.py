"""SAM: the true class in a small size, its state dict saved and loaded back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapters.models.detectors.sam import BUILDERS, Sam
from agent.domain.errors import ModelError
from agent.domain.frame import Image


def small() -> Any:
    """segment-anything's own classes, 64 pixels wide."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
    from segment_anything.modeling import Sam as Model

    return Model(
        image_encoder=ImageEncoderViT(
            depth=2, embed_dim=16, img_size=64, mlp_ratio=2, num_heads=2, patch_size=8, qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, global_attn_indexes=[1],
            window_size=4, out_chans=32,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=32, image_embedding_size=(8, 8), input_image_size=(64, 64), mask_in_chans=4
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3, transformer_dim=32, iou_head_depth=2, iou_head_hidden_dim=16,
            transformer=TwoWayTransformer(depth=1, embedding_dim=32, mlp_dim=16, num_heads=2),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    model = small()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    path = tmp_path_factory.mktemp("sam") / "sam_small.pth"
    torch.save(model.state_dict(), path)
    return path


def _load(checkpoint: Path, **options: Any) -> Sam:
    return Sam("small", checkpoint, builders={"small": small}, **options)


@pytest.fixture
def sam(checkpoint: Path) -> Sam:
    return _load(checkpoint)


@pytest.fixture(scope="module")
def image() -> Image:
    return np.random.default_rng(4).integers(0, 256, (30, 50, 3), dtype=np.uint8)


BOXES = np.array([[2, 3, 20, 25], [10, 0, 50, 30], [30, 5, 44, 12]], dtype=np.float32)


@pytest.mark.parametrize("points", [None, np.array([[5, 5], [30, 9], [40, 8]], dtype=np.float32)])
def test_masks_are_those_of_segment_anythings_own_predictor(
    sam: Sam, checkpoint: Path, image: Image, points: np.ndarray | None
) -> None:
    from segment_anything import SamPredictor

    model = small().eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True))
    predictor = SamPredictor(model)
    predictor.set_image(image)
    expected = [
        predictor.predict(
            box=box,
            point_coords=None if points is None else points[index : index + 1],
            point_labels=None if points is None else np.ones(1),
            multimask_output=False,
        )[0][0]
        for index, box in enumerate(BOXES)
    ]
    masks = sam.segment(image, BOXES, points)
    assert masks.shape == (3, 30, 50)
    assert masks.dtype == np.bool_
    assert 0 < masks.mean() < 1
    # A pixel whose logit is zero up to rounding may fall on either side.
    assert np.mean(masks != np.stack(expected)) < 0.001


def test_boxes_in_small_batches_equal_boxes_together(checkpoint: Path, image: Image) -> None:
    together, alone = _load(checkpoint), _load(checkpoint, batch=1)
    assert np.mean(together.segment(image, BOXES) != alone.segment(image, BOXES)) < 0.001


def _count_embeddings(sam: Sam) -> list[int]:
    calls: list[int] = []
    sam._model.image_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def test_an_image_is_embedded_once_and_again_when_its_buffer_changes(sam: Sam, image: Image) -> None:
    calls = _count_embeddings(sam)
    buffer = image.copy()
    first = sam.segment(buffer, BOXES)
    assert np.array_equal(sam.segment(image, BOXES[:1])[0], first[0])
    assert len(calls) == 1
    buffer[:] = 255 - buffer
    sam.segment(buffer, BOXES)
    assert len(calls) == 2


def test_no_boxes_ask_for_nothing(sam: Sam, image: Image) -> None:
    calls = _count_embeddings(sam)
    assert sam.segment(image, np.zeros((0, 4), np.float32)).shape == (0, 30, 50)
    outside = np.array([[60, 40, 70, 50], [5, 5, 5, 9]], dtype=np.float32)
    assert not sam.segment(image, outside).any()
    assert not calls


def test_boxes_are_clamped_to_the_image(sam: Sam, image: Image) -> None:
    beyond = np.array([[-20, -5, 20, 25], [90, 90, 99, 99], [30, 5, 400, 12]], dtype=np.float32)
    inside = np.array([[0, 0, 20, 25], [0, 0, 50, 30], [30, 5, 50, 12]], dtype=np.float32)
    masks, expected = sam.segment(image, beyond), sam.segment(image, inside)
    assert np.array_equal(masks[[0, 2]], expected[[0, 2]])
    assert not masks[1].any()


def test_a_turned_or_mirrored_view_of_an_image(sam: Sam, image: Image) -> None:
    mirrored = image[:, ::-1]
    assert np.array_equal(sam.segment(mirrored, BOXES), sam.segment(mirrored.copy(), BOXES))


def test_in_half_precision(checkpoint: Path, sam: Sam, image: Image) -> None:
    half = _load(checkpoint, dtype=torch.bfloat16)
    assert half.digest == sam.digest
    assert np.mean(half.segment(image, BOXES) != sam.segment(image, BOXES)) < 0.2


def test_what_cannot_be_used_is_refused(checkpoint: Path, sam: Sam, image: Image, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="finite"):
        sam.segment(image, np.array([[0, 0, np.nan, 4]], dtype=np.float32))
    with pytest.raises(ModelError, match="each needs one"):
        sam.segment(image, BOXES, np.zeros((1, 2), np.float32))
    with pytest.raises(ModelError, match="RGB"):
        sam.segment(image[:, :, 0], BOXES)
    with pytest.raises(ModelError, match="vit_b, vit_l, vit_h"):
        Sam("vit_g", checkpoint)
    with pytest.raises(ModelError, match="sightline models pull"):
        _load(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="has sha256"):
        _load(checkpoint, sha256="0" * 64)
    state = torch.load(checkpoint, weights_only=True)
    state.pop("mask_decoder.iou_token.weight")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="iou_token"):
        _load(tmp_path / "other.pth")


def test_the_published_sizes_have_builders() -> None:
    assert list(BUILDERS) == ["vit_b", "vit_l", "vit_h"]
