"""``load_state`` and ``load_into``: weights from local files, and only from local files."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from adapters.models.weights.checksums import PULL_HINT, sha256_of, verify
from agent.domain.errors import ModelError

__all__ = [
    "PULL_HINT",
    "UNTRAINED",
    "digest_in_use",
    "load_into",
    "load_state",
    "mismatch",
    "sha256_of",
    "verify",
]

UNTRAINED = "random"
"""The digest of a model with random weights."""


def digest_in_use(digest: str, dtype: torch.dtype, preprocessing: str | None = None) -> str:
    """The digest of a model as it is used. Equal digests give equal features, so another precision than fp32
    and a chosen preprocessing count; plain use keeps the digest of the file.
    """
    chosen = [str(dtype)] if dtype != torch.float32 else []
    chosen += [f"preprocessing {preprocessing}"] if preprocessing is not None else []
    return hashlib.sha256(" ".join([digest, *chosen]).encode()).hexdigest() if chosen else digest


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from safetensors, or from a PyTorch file without running any code of it.

    Raises ModelError for other or damaged files.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: object = load_file(str(path))
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"there is no weights file {path}: {PULL_HINT}") from None
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(_unreadable(path, error)) from error
    except Exception as error:  # safetensors' own error derives from Exception alone
        if type(error).__name__ != "SafetensorError":
            raise
        raise ModelError(_unreadable(path, error)) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in loaded.values()
    ):
        raise ModelError(
            f"the weights file {path} does not hold a plain table of tensors; convert it to safetensors"
        )
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def _unreadable(path: Path, error: Exception) -> str:
    first_line = (str(error).splitlines() or [""])[0][:160]
    return (
        f"the weights file {path} cannot be read as safetensors or as a weights-only PyTorch file "
        f"({first_line}); a damaged one: run `sightline models pull --force`; an older format: "
        "convert it to safetensors"
    )


def mismatch(path: Path, architecture: str, missing: Iterable[str], unexpected: Iterable[str]) -> ModelError:
    """The error for weights that do not belong to an architecture, naming a few of the keys."""
    parts = []
    for word, keys in (("missing", sorted(missing)), ("unexpected", sorted(unexpected))):
        if keys:
            shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
            parts.append(f"{word}: {shown}")
    return ModelError(
        f"the weights in {path} do not fit the architecture {architecture} ({'; '.join(parts)})"
    )


def load_into(
    model: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, architecture: str
) -> None:
    """Copy weights into a model, every key and shape accounted for. Raises ModelError."""
    own = model.state_dict()
    # Inference does not use batch norm's step counter; older files lack it.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    if missing or unexpected:
        raise mismatch(path, architecture, missing, unexpected)
    for key, value in state.items():
        if own[key].shape != value.shape:
            raise ModelError(
                f"the weights in {path} do not fit the architecture {architecture}: {key} has shape "
                f"{tuple(value.shape)} instead of {tuple(own[key].shape)}"
            )
    model.load_state_dict(dict(state), strict=False)
