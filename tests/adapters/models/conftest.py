"""Small random models on disk, and images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from adapters.models.encoders.clip import OpenClipEncoder, build_model
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING
from agent.domain.frame import Image

VIT = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 8, "width": 32, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
CONVOLUTIONAL: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 64,
        "timm_model_name": "mobilenetv2_035",
        "timm_pool": "catavgmax",
        "timm_proj": "",
    },
    "text_cfg": VIT["text_cfg"],
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def save_model(folder: Path, name: str, configuration: dict[str, Any]) -> tuple[Path, Path]:
    """Configuration and random weights on disk."""
    architecture, weights = folder / f"{name}.json", folder / f"{name}.safetensors"
    architecture.write_text(json.dumps(configuration))
    torch.manual_seed(3)
    model = build_model(configuration, name)
    with torch.no_grad():
        for parameter in model.visual.parameters():  # away from the zeros and ones that hide mistakes
            parameter.add_(torch.randn_like(parameter) * 0.05)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
    return architecture, weights


@pytest.fixture(scope="session")
def vit_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_model(tmp_path_factory.mktemp("vit"), "small-vit", VIT)


@pytest.fixture(scope="session")
def convolutional_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_model(tmp_path_factory.mktemp("conv"), "small-conv", CONVOLUTIONAL)


@pytest.fixture(scope="session")
def vit(vit_files: tuple[Path, Path]) -> OpenClipEncoder:
    return OpenClipEncoder(*vit_files, CLIP_PREPROCESSING, blocks=(2, -1))


@pytest.fixture(scope="session")
def convolutional(convolutional_files: tuple[Path, Path]) -> OpenClipEncoder:
    return OpenClipEncoder(*convolutional_files, CLIP_PREPROCESSING)


@pytest.fixture(scope="session")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((40, 72), (64, 64))
    ]
