"""Teachers of any architecture: small random networks of the true ones, saved to disk and loaded back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from adapters.lab.training import progress
from adapters.lab.training.distill import DistillSettings, distill
from adapters.lab.training.networks import (
    ARCHITECTURE,
    STRIDES,
    Foreign,
    Teacher,
    Twin,
    channels_of,
    compared,
    fit,
    load_teacher,
    raw_maps,
    second_moments,
)
from adapters.lab.training.textures import dead_leaves
from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.normalisation import IMAGENET_PREPROCESSING, SIGNED_PREPROCESSING
from agent.domain.errors import ConfigurationError, ModelError

CONVOLUTIONAL = ("test_resnet", "test_convnext", "test_efficientnet")
TRANSFORMER = "test_vit"
CHANNELS = [32, 96]
"""Of the student at ``STRIDES``."""


def _saved(name: str, folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    network = timm.create_model(name, pretrained=False)
    path = folder / f"{name}-{seed}.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


def test_the_students_channels() -> None:
    student = timm.create_model(ARCHITECTURE, pretrained=False)
    assert channels_of(student) == CHANNELS
    assert [maps.shape[1] for maps in compared(student, torch.zeros(1, 3, 64, 64))] == CHANNELS


@pytest.fixture(scope="module")
def leaves() -> NDArray[np.uint8]:
    return np.stack([dead_leaves(index, 64) for index in range(8)])


@pytest.fixture
def images(leaves: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(leaves).permute(0, 3, 1, 2).float() / 255


def _student() -> Any:
    torch.manual_seed(1)
    return timm.create_model(ARCHITECTURE, pretrained=False)


def _blocks() -> int:
    trunk: Any = timm.create_model(TRANSFORMER, pretrained=False)
    return len(trunk.blocks)


def _load(name: str, path: Path, leaves: NDArray[np.uint8], folder: Path, **others: Any) -> Teacher:
    return load_teacher(path, name, CHANNELS, lambda: [leaves], folder / "projection.pt", **others)


# ------------------------------------------------------------------------------------ the linear map


@given(st.integers(1, 40), st.integers(1, 24), st.integers(0, 1000))
def test_the_map_keeps_inner_products_as_well_as_so_few_channels_can(
    size: int, channels: int, seed: int
) -> None:
    """All of them where there is room; otherwise what it loses is the energy beyond the first directions."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(60, size, generator=generator, dtype=torch.float64)
    vectors = vectors * torch.linspace(3, 0.2, size, dtype=torch.float64)
    moment = vectors.T @ vectors / len(vectors)
    matrix, share = fit(moment, channels, generator)
    assert matrix.shape == (channels, size)
    mapped = vectors @ matrix.double().T
    scale = float((mapped @ mapped.T).trace() / (vectors @ vectors.T).trace())
    lost = vectors @ vectors.T - mapped @ mapped.T * (share / scale)
    energies = torch.linalg.eigvalsh(moment).flip(0)
    assert share == pytest.approx(float(energies[:channels].sum() / energies.sum()))
    assert float(lost.square().sum().sqrt()) / len(vectors) == pytest.approx(
        float(energies[channels:].square().sum().sqrt()), abs=1e-4
    )
    assert float(mapped.square().mean()) == pytest.approx(1.0, rel=1e-4)


def test_no_channel_is_left_to_the_weakest_direction() -> None:
    """A loss that divides each channel by its deviation would else ask most where there is least."""
    moment = torch.diag(torch.logspace(3, -3, 32))
    matrix, _ = fit(moment, 32, torch.Generator().manual_seed(0))
    energies = (matrix @ moment @ matrix.T).diagonal()
    assert float(energies.min()) > 1e-4, "diagonal energies span six orders of magnitude before the turn"


# ------------------------------------------------------------------------------------ maps


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, TRANSFORMER])
@pytest.mark.parametrize("side", [64, 112])
def test_any_architecture_fills_the_students_channels_and_grids(
    name: str, side: int, leaves: NDArray[np.uint8], tmp_path: Path
) -> None:
    teacher = _load(name, _saved(name, tmp_path), leaves, tmp_path)
    assert isinstance(teacher, Foreign)
    batch = torch.rand(2, 3, side, side)
    found = teacher.depths(batch)
    expected = compared(_student().eval(), batch)
    assert [each.shape for each in found] == [each.shape for each in expected]
    assert all(each.isfinite().all() for each in found)
    assert not any(each.requires_grad for each in found)


def test_a_convolutional_teacher_says_what_it_says_as_a_backbone(
    images: torch.Tensor, leaves: NDArray[np.uint8], tmp_path: Path
) -> None:
    backbone = TimmBackbone("test_resnet", _saved("test_resnet", tmp_path), IMAGENET_PREPROCESSING)
    expected = backbone.encode_patches(list(leaves), 64)
    for maps, depth in zip(raw_maps(backbone, images), expected, strict=True):
        assert torch.allclose(maps.permute(0, 2, 3, 1), depth, atol=1e-4)


def test_a_patch_of_a_transformer_becomes_a_cell_of_the_finest_grid(
    images: torch.Tensor, tmp_path: Path
) -> None:
    """Shown 128 px, so that its patches of 16 px lie 8 x 8; the coarser grid is the mean of 2 x 2."""
    path = _saved(TRANSFORMER, tmp_path)
    last = _blocks() - 1
    backbone = TimmBackbone(TRANSFORMER, path, SIGNED_PREPROCESSING, blocks=(last, last))
    fine, coarse = raw_maps(backbone, images)
    assert (fine.shape[2:], coarse.shape[2:]) == ((8, 8), (4, 4))
    assert torch.allclose(torch.nn.functional.avg_pool2d(fine, 2), coarse, atol=1e-6)


def test_the_middle_and_the_last_block_of_a_transformer_lead(
    images: torch.Tensor, leaves: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = _saved(TRANSFORMER, tmp_path)
    count = _blocks()
    teacher = _load(TRANSFORMER, path, leaves, tmp_path)
    assert isinstance(teacher, Foreign)
    for blocks, index in (((count // 2 - 1,), 0), ((count - 1,), 1)):
        (alone,) = raw_maps_of(TimmBackbone(TRANSFORMER, path, blocks=blocks), images, index)
        assert torch.equal(raw_maps(teacher.backbone, images)[index], alone)


def raw_maps_of(backbone: TimmBackbone, images: torch.Tensor, index: int) -> list[torch.Tensor]:
    """Of a backbone with one depth, on the grid of one stride."""
    enlarged = torch.nn.functional.interpolate(
        images, (8 * backbone.multiple,) * 2, mode="bicubic", antialias=True
    ).clamp(0, 1)
    mean, std = (
        torch.tensor(each)[:, None, None]
        for each in (backbone.preprocessing.mean, backbone.preprocessing.std)
    )
    with torch.no_grad():
        (maps,) = backbone.maps((enlarged - mean) / std)
    return [torch.nn.functional.adaptive_avg_pool2d(maps, 64 // STRIDES[index])]


def test_the_students_own_architecture_is_a_twin_and_its_features_stay_as_they_are(
    images: torch.Tensor, leaves: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = _saved(ARCHITECTURE, tmp_path, seed=3)
    teacher = _load(ARCHITECTURE, path, leaves, tmp_path)
    assert isinstance(teacher, Twin)
    torch.manual_seed(3)
    network = timm.create_model(ARCHITECTURE, pretrained=False).eval()
    with torch.no_grad():
        expected = compared(network, images)
    for one, other in zip(teacher.depths(images), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert not (tmp_path / "projection.pt").exists(), "nothing to fit"


def test_of_the_same_architecture_but_shown_other_images_is_no_twin(
    images: torch.Tensor, leaves: NDArray[np.uint8], tmp_path: Path
) -> None:
    """timm's own MobileNetV2 takes ImageNet's normalisation; its inner products survive the map."""
    path = _saved(ARCHITECTURE, tmp_path, seed=3)
    teacher = _load(ARCHITECTURE, path, leaves, tmp_path, preprocessing=IMAGENET_PREPROCESSING)
    assert isinstance(teacher, Foreign)
    for own, mapped in zip(raw_maps(teacher.backbone, images), teacher.depths(images), strict=True):
        flat, turned = (each.permute(0, 2, 3, 1).flatten(0, 2).double() for each in (own, mapped))
        cosines = torch.nn.functional.normalize(flat, dim=1) @ torch.nn.functional.normalize(flat, dim=1).T
        others = torch.nn.functional.normalize(turned, dim=1)
        assert torch.allclose(others @ others.T, cosines, atol=1e-4)


# ------------------------------------------------------------------------------------ what is fitted


def test_moments_are_those_of_all_places(leaves: NDArray[np.uint8], tmp_path: Path) -> None:
    """Over pools of different sides and a last batch that is not full."""
    backbone = TimmBackbone("test_resnet", _saved("test_resnet", tmp_path))
    pools = [leaves, np.stack([dead_leaves(index, 96) for index in range(17)])]
    found = second_moments(backbone, pools, "cpu")
    vectors: list[list[torch.Tensor]] = [[], []]
    for pool in pools:
        for image in pool:
            maps = raw_maps(backbone, torch.from_numpy(image)[None].permute(0, 3, 1, 2).float() / 255)
            for depth, kept in zip(maps, vectors, strict=True):
                kept.append(depth[0].flatten(1).T.double())
    for moment, kept in zip(found, vectors, strict=True):
        flat = torch.cat(kept)
        assert torch.allclose(moment, flat.T @ flat / len(flat), rtol=1e-3, atol=1e-5)


def test_a_map_is_fitted_once_and_read_afterwards(
    images: torch.Tensor, leaves: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = _saved("test_resnet", tmp_path)
    first = _load("test_resnet", path, leaves, tmp_path)

    def nothing() -> Iterator[NDArray[np.uint8]]:
        pytest.fail("the map was fitted before")

    again = load_teacher(path, "test_resnet", CHANNELS, nothing, tmp_path / "projection.pt")
    for one, other in zip(first.depths(images), again.depths(images), strict=True):
        assert torch.equal(one, other)


def test_a_map_of_another_teacher_is_refused(leaves: NDArray[np.uint8], tmp_path: Path) -> None:
    _load("test_resnet", _saved("test_resnet", tmp_path), leaves, tmp_path)
    for name, seed in (("test_convnext", 0), ("test_resnet", 1)):
        with pytest.raises(ConfigurationError, match=r"belongs to the teacher timm:test_resnet as"):
            _load(name, _saved(name, tmp_path, seed), leaves, tmp_path)
    path = tmp_path / "test_resnet-0.safetensors"
    with pytest.raises(ConfigurationError, match="choose another --out"):
        _load("test_resnet", path, leaves, tmp_path, preprocessing=IMAGENET_PREPROCESSING)


def test_without_images_nothing_can_be_fitted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no drawn images"):
        load_teacher(
            _saved("test_resnet", tmp_path), "test_resnet", CHANNELS, list, tmp_path / "projection.pt"
        )
    assert not (tmp_path / "projection.pt").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_net", "timm knows no architecture 'no_such_net'"),
        ("test_convnext", "do not fit the architecture test_convnext"),
        (ARCHITECTURE, f"do not fit the architecture {ARCHITECTURE}"),
        ("maxvit_nano_rw_256", "timm:maxvit_nano_rw_256 cannot take images of 64 x 64 px"),
    ],
)
def test_what_cannot_teach_says_why(name: str, said: str, leaves: NDArray[np.uint8], tmp_path: Path) -> None:
    path = _saved(name if name.startswith("maxvit") else "test_resnet", tmp_path)
    with pytest.raises(ModelError, match=said):
        _load(name, path, leaves, tmp_path)


@pytest.mark.parametrize("name", ["test_resnet", ARCHITECTURE])
def test_a_teacher_that_is_not_there_says_so(name: str, leaves: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no weights file .*nothing\.safetensors"):
        _load(name, tmp_path / "nothing.safetensors", leaves, tmp_path)


# ------------------------------------------------------------------------------------ leading


@pytest.mark.parametrize("name", ["test_resnet", TRANSFORMER])
def test_a_student_comes_nearer_to_a_teacher_of_another_architecture(
    name: str, leaves: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SHOWN", 1)
    monkeypatch.setattr(progress, "_MEMORY", 0.0)
    teacher = _load(name, _saved(name, tmp_path), leaves, tmp_path)
    settings = DistillSettings(steps=60, batch=8, size=64, mixed=0.0)
    student = _student()
    distill(student, teacher, [leaves], settings, folder=tmp_path)
    curve = [json.loads(point) for point in (tmp_path / "trunk.curve.jsonl").read_text().splitlines()]
    for stage in ("stage 2", "stage 4"):
        losses = [point[stage] for point in curve]
        # 0.45 to 0.71 of it remain, by how a processor rounds; 0.99 to 1.03 where nothing is learned.
        assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])
    late = ("blocks.5", "blocks.6", "conv_head")
    kept, random = student.state_dict(), _student().state_dict()
    assert all(torch.equal(kept[key], random[key]) for key in kept if key.startswith(late))


def test_leading_that_is_cut_short_ends_as_one_that_was_not(
    leaves: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 2)
    teacher = _load("test_resnet", _saved("test_resnet", tmp_path), leaves, tmp_path)
    settings = DistillSettings(steps=5, batch=4, size=32)

    def led(folder: Path, last: int | None = None) -> Any:
        student, done = _student(), progress.Progress.done

        def cut(self: Any, step: int, count: int, losses: Any) -> None:
            done(self, step, count, losses)
            if step == last:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(progress.Progress, "done", cut)
            if last is None:
                distill(student, teacher, [leaves], settings, folder=folder)
            else:
                with pytest.raises(KeyboardInterrupt):
                    distill(student, teacher, [leaves], settings, folder=folder)
        return student.state_dict()

    whole = led(tmp_path / "whole")
    led(tmp_path / "cut", last=2)
    found = led(tmp_path / "cut")
    assert [key for key in whole if not torch.equal(found[key], whole[key])] == []
