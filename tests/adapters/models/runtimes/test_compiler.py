"""Other runtimes give what PyTorch gives, for images of any count and size; what does not export stays."""

from __future__ import annotations

import importlib.util
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.convolutional import DepthsPart
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from adapters.models.kept_files import KeptFiles
from adapters.models.runtimes.compiler import Compiler, pick_runtime
from adapters.models.runtimes.graphs import OnnxGraph, TorchGraph
from adapters.models.untrained import untrained_backbone
from agent.domain.errors import ModelError
from agent.domain.frame import Image

Files = tuple[Path, Path]
CPU = torch.device("cpu")

RUNTIMES = [
    "onnxruntime",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
        ),
    ),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> KeptFiles:
    """One for the module: each graph is exported once."""
    return KeptFiles(tmp_path_factory.mktemp("graphs"), ".onnx")


@pytest.fixture(params=RUNTIMES)
def compiler(request: pytest.FixtureRequest, store: KeptFiles) -> Compiler:
    return Compiler(request.param, store)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("timm") / "resnet10t.safetensors"
    save_file(timm.create_model("resnet10t", pretrained=False).state_dict(), path)
    return path


def _images(count: int, height: int, width: int) -> list[Image]:
    rng = np.random.default_rng(count)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "side", "shape"), [(1, 64, (50, 70)), (9, 72, (40, 40)), (2, 51, (80, 33))]
)
def test_a_tower_gives_what_it_gives_in_pytorch(
    convolutional_files: Files, compiler: Compiler, count: int, side: int, shape: tuple[int, int]
) -> None:
    reference = OpenClipEncoder(*convolutional_files, CLIP_PREPROCESSING, output_stride=16)
    encoder = OpenClipEncoder(*convolutional_files, CLIP_PREPROCESSING, output_stride=16, compiler=compiler)
    assert (reference.runtime, encoder.runtime) == ("torch", compiler.runtime)
    assert encoder.digest == reference.digest, "thresholds, memories and feedback go on"
    images = _images(count, *shape)
    wanted, found = reference.encode_images(images, side), encoder.encode_images(images, side)
    for one, other in zip(
        (found.image, found.patches, *found.depths),
        (wanted.image, wanted.patches, *wanted.depths),
        strict=True,
    ):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    kept = encoder.encode_patches(images, side, keep_aspect=True)
    for one, other in zip(kept, reference.encode_patches(images, side, keep_aspect=True), strict=True):
        assert len({*one.shape[1:3]}) == (1 if shape[0] == shape[1] else 2)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_backbone_gives_what_it_gives_in_pytorch(weights: Path, compiler: Compiler) -> None:
    reference, backbone = (
        TimmBackbone("resnet10t", weights),
        TimmBackbone("resnet10t", weights, compiler=compiler),
    )
    assert backbone.runtime == compiler.runtime
    images = _images(3, 60, 90)
    for keep_aspect in (False, True):
        pairs = zip(
            backbone.encode_patches(images, 64, keep_aspect=keep_aspect),
            reference.encode_patches(images, 64, keep_aspect=keep_aspect),
            strict=True,
        )
        for found, wanted in pairs:
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_transformer_stays_in_pytorch(vit_files: Files, compiler: Compiler, images: list[Image]) -> None:
    encoder = OpenClipEncoder(*vit_files, CLIP_PREPROCESSING, compiler=compiler)
    assert encoder.runtime == "torch"
    wanted = OpenClipEncoder(*vit_files, CLIP_PREPROCESSING).encode_images(images, 32)
    assert torch.equal(encoder.encode_images(images, 32).patches, wanted.patches)


class _Counting(DepthsPart):
    built = 0

    def module(self) -> Any:
        self.built += 1
        return super().module()


def _part() -> _Counting:
    torch.manual_seed(5)
    trunk = timm.create_model("mobilenetv2_035", pretrained=False).eval()
    return _Counting("small", "mobilenetv2_035", trunk, (2, 3))


@pytest.mark.slow
def test_weights_are_exported_once_for_all_starts(tmp_path: Path) -> None:
    first, again, others, damaged = (_part() for _ in range(4))
    compiler = Compiler("onnxruntime", KeptFiles(tmp_path, ".onnx"))
    batch = torch.randn(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    wanted = compiler.compile(first, "d" * 64)(batch)
    found = compiler.compile(again, "d" * 64)(batch)
    assert (first.built, again.built) == (1, 0), "nothing is built, probed or traced from a warm cache"
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    compiler.compile(others, "e" * 64)
    assert others.built == 1, "another weights file is another graph"
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    compiler.compile(damaged, "d" * 64)
    assert damaged.built == 1


def test_batch_norms_are_folded_and_the_network_stays_as_it_was(tmp_path: Path) -> None:
    part = _part()
    batch = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    before = TorchGraph(part.module())(batch)
    assert (
        Compiler("onnxruntime", KeptFiles(tmp_path, ".onnx")).compile(part, "d" * 64).runtime == "onnxruntime"
    )
    after = TorchGraph(part.module())(batch)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    (path,) = tmp_path.iterdir()
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert "Conv" in kinds
    assert "BatchNormalization" not in kinds


def test_random_weights_are_not_kept(tmp_path: Path) -> None:
    backbone = untrained_backbone(
        "timm:mobilenetv2_035", compiler=Compiler("onnxruntime", KeptFiles(tmp_path, ".onnx"))
    )
    assert backbone.runtime == "onnxruntime"
    assert list(tmp_path.iterdir()) == [], "all of them have the same digest"


class _OfOneSize(torch.nn.Module):
    """What tracing cannot follow: a number that is computed outside of tensors."""

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor]:
        return (batch * float(batch.shape[3]),)


class _Untraceable(torch.nn.Module):
    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.linalg.matrix_exp(batch),)


class _OtherPart:
    name, identity = "other", "other"

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module

    def module(self) -> torch.nn.Module:
        return self._module

    def examples(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(1, 3, 8, 8), torch.ones(2, 3, 4, 4)


@pytest.mark.parametrize("module", [_OfOneSize(), _Untraceable()])
def test_what_does_not_export_rightly_stays_in_pytorch(
    tmp_path: Path, module: torch.nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        graph = Compiler("onnxruntime", KeptFiles(tmp_path, ".onnx")).compile(_OtherPart(module), "d" * 64)
    assert graph.runtime == "torch"
    assert "other: stays in PyTorch, since" in caplog.text
    batch = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(graph(batch)[0], module(batch)[0])
    assert list(tmp_path.iterdir()) == []


def test_several_threads_may_use_one_encoder(convolutional_files: Files, compiler: Compiler) -> None:
    encoder = OpenClipEncoder(*convolutional_files, CLIP_PREPROCESSING, output_stride=16, compiler=compiler)
    images = _images(6, 48, 48)
    wanted = [encoder.encode_images([image], 64).patches for image in images]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda image: encoder.encode_images([image], 64).patches, images * 3))
    assert all(torch.equal(one, other) for one, other in zip(found, wanted * 3, strict=True))


def test_a_session_has_pytorchs_threads_and_they_sleep_while_they_wait(store: KeptFiles) -> None:
    torch.set_num_threads(2)
    try:
        graph = Compiler("onnxruntime", store).compile(_part(), "f" * 64)
    finally:
        torch.set_num_threads(1)
    assert isinstance(graph, OnnxGraph)
    options = graph._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("name", "device", "dtype", "chosen"),
    [
        ("auto", "cpu", torch.float32, "onnxruntime"),
        ("auto", "cpu", torch.bfloat16, "torch"),
        ("auto", "cuda", torch.float32, "torch"),
        ("torch", "cuda", torch.bfloat16, "torch"),
        ("onnxruntime", "cpu", torch.float32, "onnxruntime"),
    ],
)
def test_the_runtime_that_fits_device_and_precision(
    name: str, device: str, dtype: torch.dtype, chosen: str
) -> None:
    assert pick_runtime(name, torch.device(device), dtype) == chosen


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.float32), ("cpu", torch.bfloat16)])
def test_a_runtime_that_cannot_compute_there_says_what_to_set(device: str, dtype: torch.dtype) -> None:
    with pytest.raises(ModelError, match=r"is openvino.* set it to auto, or models.device to cpu"):
        pick_runtime("openvino", torch.device(device), dtype)
