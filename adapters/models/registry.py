"""The models that Sightline knows by name, and where their weights lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Literal

import torch

from adapters.models.backbone import TimmBackbone
from adapters.models.clip import OpenClipEncoder
from adapters.models.preprocessing import (
    CLIP_PREPROCESSING,
    IMAGENET_PREPROCESSING,
    SIGNED_PREPROCESSING,
    Preprocessing,
)
from adapters.models.weights import PULL_HINT
from agent.errors import ModelError

TIMM_PREFIX = "timm:"
BUNDLED = "sightline-tiny"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """What has to be known of a model before its weights can be used."""

    name: str
    kind: Literal["clip", "timm"]
    architecture: str
    """A name of open_clip or timm; for a bundled model the file of its configuration."""
    file_name: str
    licence: str
    preprocessing: Preprocessing
    sha256: str | None = None
    """None where it is pinned when the file is first pulled."""
    bundled: bool = False
    output_stride: int | None = None
    note: str = ""


KNOWN: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            name=BUNDLED,
            kind="clip",
            architecture="sightline-tiny.json",
            file_name="sightline-tiny.safetensors",
            licence="Apache-2.0",
            preprocessing=SIGNED_PREPROCESSING,
            sha256="bf70e0a9b804e0db97f6f56e0f35c3160c803f643885a3f07cfd41ad6ff4db9a",
            bundled=True,
            output_stride=16,
            note="made from drawn pictures; good for few-shot, weak at zero-shot on objects",
        ),
        KnownModel(
            name="ViT-B-16-plus-240",
            kind="clip",
            architecture="ViT-B-16-plus-240",
            file_name="vit_b_16_plus_240-laion400m_e31-8fb26589.pt",
            licence="MIT",
            preprocessing=CLIP_PREPROCESSING,
            note="the backbone of FADE and WinCLIP: the file laion400m_e31, not e32",
        ),
        KnownModel(
            name="ViT-B-16",
            kind="clip",
            architecture="ViT-B-16",
            file_name="ViT-B-16-laion400m_e32.safetensors",
            licence="MIT",
            preprocessing=CLIP_PREPROCESSING,
        ),
        KnownModel(
            name="mobilenetv2_100",
            kind="timm",
            architecture="mobilenetv2_100",
            file_name="mobilenetv2_100.safetensors",
            licence="Apache-2.0",
            preprocessing=SIGNED_PREPROCESSING,
            note="ImageNet, pictures in [-1, 1]; timm's own weights are mobilenetv2_100.ra_in1k",
        ),
        KnownModel(
            name="mobilenetv2_100.ra_in1k",
            kind="timm",
            architecture="mobilenetv2_100.ra_in1k",
            file_name="mobilenetv2_100.ra_in1k.safetensors",
            licence="Apache-2.0",
            preprocessing=IMAGENET_PREPROCESSING,
        ),
        KnownModel(
            name="vit_small_patch14_dinov2",
            kind="timm",
            architecture="vit_small_patch14_dinov2.lvd142m",
            file_name="vit_small_patch14_dinov2.lvd142m.safetensors",
            licence="Apache-2.0",
            preprocessing=IMAGENET_PREPROCESSING,
            note="the backbone of AnomalyDINO",
        ),
    )
}
"""Every known model by name. Others work too: a timm name with a local file under ``models.files``."""


def resolve(name: str, models_path: Path, files: Mapping[str, str]) -> Path:
    """The weights file of a model: the one that ``files`` names, the bundled one, or one in ``models_path``.

    Raises ModelError where there is none, saying how to get it.
    """
    plain = name.removeprefix(TIMM_PREFIX)
    known = KNOWN.get(plain)
    named = files.get(plain) or files.get(name)
    if named is not None:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ModelError(f"models.files names {path} for {plain}, but there is no such file")
        return path
    if known is not None and known.bundled:
        return bundled_folder() / known.file_name
    candidates = [models_path / known.file_name] if known else []
    candidates += [models_path / f"{plain}{suffix}" for suffix in (".safetensors", ".pt", ".pth")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ModelError(f"there are no weights of {plain} in {models_path}: {PULL_HINT}")


def bundled_folder() -> Path:
    """The package folder with the bundled model."""
    return Path(str(package_files("adapters.models"))) / "tiny"


def load_clip(
    name: str,
    models_path: Path,
    files: Mapping[str, str] | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> OpenClipEncoder:
    """A vision-language model by name. Raises ModelError where it is unknown or its weights are unusable."""
    known = KNOWN.get(name)
    if known is None or known.kind != "clip":
        raise ModelError(f"there is no vision-language model {name!r}; known are {', '.join(_names('clip'))}")
    own_file = bool(files and name in files)
    return OpenClipEncoder(
        bundled_folder() / known.architecture if known.bundled else known.architecture,
        resolve(name, models_path, files or {}),
        known.preprocessing,
        name=name,
        sha256=None if own_file else known.sha256,  # a file that the user names is the user's choice
        device=device,
        dtype=dtype,
        output_stride=known.output_stride,
    )


def load_backbone(
    name: str,
    models_path: Path,
    files: Mapping[str, str] | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TimmBackbone:
    """A few-shot backbone by ``timm:NAME``. Raises ModelError where its weights are missing or unusable."""
    plain = name.removeprefix(TIMM_PREFIX)
    known = KNOWN.get(plain)
    if known is not None and known.kind != "timm":
        raise ModelError(f"{plain} is a vision-language model; use the backbone `clip` with it")
    own_file = bool(files and (plain in files or name in files))
    return TimmBackbone(
        known.architecture if known else plain,
        resolve(name, models_path, files or {}),
        known.preprocessing if known else None,
        sha256=known.sha256 if known and not own_file else None,
        device=device,
        dtype=dtype,
    )


def _names(kind: str) -> list[str]:
    return [model.name for model in KNOWN.values() if model.kind == kind]
