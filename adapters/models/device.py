"""``pick_device`` and ``pick_precision``: where the models run, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

import torch

from adapters.models.threads import default_threads, usable_cores
from agent.domain.errors import ModelError

PRECISIONS: Mapping[str, torch.dtype] = MappingProxyType({"fp32": torch.float32, "bf16": torch.bfloat16})
"""By the names that a configuration uses."""


def use_threads(wanted: int | None) -> None:
    """Compute on ``wanted`` CPU threads from now on; None: as :func:`default_threads` has it."""
    torch.set_num_threads(wanted or default_threads(os.environ, usable_cores()))


def pick_device(name: str, *, asked: str = "models.device") -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``, ready to be used.

    ``asked`` names the setting in the error.

    Raises:
        ModelError: PyTorch knows no such device, or it is a GPU that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"{asked} is {name}, which PyTorch does not know; set it to auto or cpu") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            found = f"PyTorch finds {count} GPU{'s' if count != 1 else ''} here"
            raise ModelError(f"{asked} is {name}, but {found}; set it to auto or cpu")
    return device


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """``fp32``, ``bf16``, or ``auto``: bf16 on a GPU that computes in it, else fp32.

    bf16 has the range of fp32 with 8 bits of mantissa, so that nothing overflows and unit features move by
    about a thousandth (METHODS section 7.2). CPUs get fp32: few of them are any faster in bf16.

    Raises:
        ModelError: there is no such precision.
    """
    if name == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else torch.float32
    if name not in PRECISIONS:
        raise ModelError(f"models.precision is {name}; it is auto, {' or '.join(PRECISIONS)}")
    return PRECISIONS[name]
