"""Where the models run."""

from __future__ import annotations

import torch

from agent.errors import ModelError


def pick_device(name: str, threads: int | None = None) -> torch.device:
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``, ready to be used.

    ``threads`` bounds the CPU threads of one pass; None leaves PyTorch's own choice.

    Raises:
        ModelError: a GPU is named that this machine does not have.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            found = f"PyTorch finds {count} GPU{'s' if count != 1 else ''} here"
            raise ModelError(f"models.device is {name}, but {found}; set it to auto or cpu")
    return device
