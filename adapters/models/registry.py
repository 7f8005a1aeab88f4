"""``load_clip``, ``load_backbone``, ``load_detector`` and ``load_segmenter``: models by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from adapters.models.detectors.grounding_dino import GroundingDino
from adapters.models.detectors.sam import BUILDERS, Sam
from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.models.encoders.normalisation import CLIP_PREPROCESSING, PREPROCESSINGS, Preprocessing
from adapters.models.encoders.open_clip_library import import_open_clip
from adapters.models.runtimes.compiler import Compiler
from adapters.models.weights.catalogue import BUNDLED, KNOWN, TIMM_PREFIX, KnownModel, find, names
from adapters.models.weights.local import digest_in_use
from adapters.models.weights.store import WeightStore, bundled_folder
from agent.domain.errors import ModelError

__all__ = [
    "BUNDLED",
    "KNOWN",
    "TIMM_PREFIX",
    "KnownModel",
    "bundled_folder",
    "load_backbone",
    "load_clip",
    "load_detector",
    "load_segmenter",
    "resolve",
]

_log = logging.getLogger(__name__)

Files = Mapping[str, str] | Mapping[str, Path]
Device = str | torch.device


def resolve(name: str, models_path: Path, files: Files) -> Path:
    """The weights file or folder of a model. Raises ModelError if it is not here."""
    return WeightStore(models_path, dict(files)).locate(name)


def load_clip(
    name: str,
    models_path: Path,
    files: Files | None = None,
    *,
    preprocessing: str | None = None,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
    compiler: Compiler | None = None,
) -> OpenClipEncoder:
    """A vision-language model: a known name, or any of open_clip's with a file under ``models.files``.

    Args:
        preprocessing: a name in ``PREPROCESSINGS`` for weights that Sightline does not know; None: CLIP's
            own, with a line in the log. Known models keep theirs unless their file is the user's own.
        compiler: gives a convolutional image tower to another runtime; None: all of it is PyTorch's.

    Raises:
        ModelError: there is no such model, or its weights are missing, altered or of another architecture.
    """
    known = KNOWN.get(name)
    if known is not None and known.kind != "clip":
        known_names = ", ".join(names("clip"))
        raise ModelError(f"{name!r} is a {known.kind}, not a vision-language model; known are {known_names}")
    if known is None:
        _check_architecture(name)
    store = WeightStore(models_path, dict(files or {}))
    weights = store.locate(name)
    architecture: str | Path = name if known is None else known.architecture
    encoder = OpenClipEncoder(
        bundled_folder() / architecture if known is not None and known.bundled else architecture,
        weights,
        _preprocessing(name, known, preprocessing),
        name=name,
        sha256=store.lock.expected(weights) if known is None else store.expected(known, weights),
        device=device,
        dtype=dtype,
        output_stride=known.output_stride if known is not None else None,
        compiler=compiler,
    )
    encoder.digest = digest_in_use(encoder.digest, dtype, preprocessing)
    return encoder


def _check_architecture(name: str) -> None:
    if import_open_clip().get_model_config(name) is None:
        raise ModelError(
            f"there is no vision-language model {name!r}; known are {', '.join(names('clip'))}, and any "
            "architecture of open_clip with a local file under models.files"
        )


def _preprocessing(name: str, known: KnownModel | None, wanted: str | None) -> Preprocessing:
    if wanted is not None:
        if wanted not in PREPROCESSINGS:
            raise ModelError(f"there is no preprocessing {wanted!r}; there is {', '.join(PREPROCESSINGS)}")
        return PREPROCESSINGS[wanted]
    if known is not None and known.preprocessing is not None:
        return known.preprocessing
    _log.warning(
        "%s is a model of your own: its images are normalised as CLIP's are, unless another preprocessing "
        "is named (%s)", name, ", ".join(PREPROCESSINGS),
    )  # fmt: skip
    return CLIP_PREPROCESSING


def load_backbone(
    name: str,
    models_path: Path,
    files: Files | None = None,
    *,
    preprocessing: str | None = None,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
    compiler: Compiler | None = None,
) -> TimmBackbone:
    """A few-shot backbone by ``timm:NAME``. Raises ModelError if its weights are missing or unusable.

    ``preprocessing`` names one of ``PREPROCESSINGS``; None: the known one, or as timm declares it.
    ``compiler`` gives a convolutional network to another runtime; None: it is PyTorch's.
    """
    plain = name.removeprefix(TIMM_PREFIX)
    known = find(f"{TIMM_PREFIX}{plain}")
    if known is not None and known.kind != "timm":
        what = "a vision-language model; use the backbone `clip` with it"
        raise ModelError(f"{plain} is {what if known.kind == 'clip' else f'a {known.kind}, not a backbone'}")
    store = WeightStore(models_path, dict(files or {}))
    weights = store.locate(name if name.startswith(TIMM_PREFIX) else f"{TIMM_PREFIX}{plain}")
    chosen = known.preprocessing if known else None
    backbone = TimmBackbone(
        known.architecture if known else plain,
        weights,
        chosen if preprocessing is None else _preprocessing(plain, known, preprocessing),
        sha256=store.expected(known, weights) if known else store.lock.expected(weights),
        device=device,
        dtype=dtype,
        compiler=compiler,
    )
    backbone.digest = digest_in_use(backbone.digest, dtype, preprocessing)
    return backbone


def load_detector(
    name: str,
    models_path: Path,
    files: Files | None = None,
    *,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
    batch: int = 4,
) -> GroundingDino:
    """A Grounding DINO by name, or by any name with a folder under ``models.files``.

    Raises ModelError if it is unknown, or its files are missing, altered or of another architecture.
    """
    store = WeightStore(models_path, dict(files or {}))
    known = _known(name, "detector", store)
    folder = store.locate(name)
    if not folder.is_dir():
        raise ModelError(f"models.files names {folder} for {name}; a detector is a folder of several files")
    expected = {}
    if known is not None:
        digests = {path.name: store.expected(known, path) for path in folder.iterdir() if path.is_file()}
        expected = {file: digest for file, digest in digests.items() if digest is not None}
    detector = GroundingDino(folder, name=name, expected=expected, device=device, dtype=dtype, batch=batch)
    detector.digest = digest_in_use(detector.digest, dtype)
    return detector


def load_segmenter(
    name: str,
    models_path: Path,
    files: Files | None = None,
    *,
    device: Device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Sam:
    """A SAM by name: ``sam_vit_b``, ``sam_vit_l``, ``sam_vit_h``, or ``sam_vit_b...`` under ``models.files``.

    Raises ModelError if it is unknown, or its weights are missing, altered or of another architecture.
    """
    store = WeightStore(models_path, dict(files or {}))
    known = _known(name, "segmenter", store)
    weights = store.locate(name)
    if known is not None:
        architecture, expected = known.architecture, store.expected(known, weights)
    else:
        architecture, expected = _sam_architecture(name), None
    segmenter = Sam(architecture, weights, sha256=expected, device=device, dtype=dtype)
    segmenter.digest = digest_in_use(segmenter.digest, dtype)
    return segmenter


def _sam_architecture(name: str) -> str:
    for architecture in BUILDERS:
        if architecture in name:
            return architecture
    raise ModelError(f"the name {name!r} does not contain the size of SAM: {', '.join(BUILDERS)}")


def _known(name: str, kind: str, store: WeightStore) -> KnownModel | None:
    known = KNOWN.get(name)
    fitting = known is not None and known.kind == kind
    if not fitting and (known is not None or store.own_file(name) is None):
        listed = ", ".join(model.name for model in KNOWN.values() if model.kind == kind)
        raise ModelError(f"there is no {kind} {name!r}; known are {listed}")
    return known
