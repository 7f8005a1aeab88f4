"""``prepare``: images of any size to one normalised batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from adapters.models.encoders.normalisation import Preprocessing
from agent.domain.errors import ModelError
from agent.domain.frame import Image
from agent.ports import ImageSize


def resize(image: Image, size: ImageSize, interpolation: str = "bicubic") -> torch.Tensor:
    """(3, size, size) uint8, or (3, height, width) of a pair, whatever the aspect ratio; nothing is cropped,
    as in FADE.

    PyTorch's antialiased 8-bit kernel: the arithmetic of Pillow's resize, the same on every run, and
    independent of the other images of the batch.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ModelError(
            f"a model takes RGB images of 8 bits, shape (H, W, 3); not {image.shape} {image.dtype}"
        )
    # from_numpy refuses negative strides and warns on read-only arrays: copy only those.
    safe = image if image.flags.writeable and min(image.strides) > 0 else image.copy()
    channels_first = torch.from_numpy(safe).permute(2, 0, 1)
    target = (size, size) if isinstance(size, int) else size
    if channels_first.shape[1:] == target:
        return channels_first
    return F.interpolate(channels_first[None], target, mode=interpolation, antialias=True)[0]


def resize_keeping_aspect(image: Image, side: int, multiple: int, interpolation: str) -> torch.Tensor:
    """(3, h, w) uint8: the shorter side becomes ``side``, then right and bottom are cut to multiples.

    As AnomalyDINO does (METHODS section 8.1); both sides keep at least one ``multiple``.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ModelError(f"a model takes RGB images of 8 bits, shape (H, W, 3); not {image.shape}")
    shorter = min(image.shape[:2])
    height, width = (max(multiple, side * length // shorter) for length in image.shape[:2])
    resized = resize(image, (height, width), interpolation)
    return resized[:, : height // multiple * multiple, : width // multiple * multiple]


def in_multiples(size: ImageSize, multiple: int) -> ImageSize:
    """The size with each side rounded to the nearest multiple, at least one."""
    if isinstance(size, int):
        return max(1, round(size / multiple)) * multiple
    height, width = (max(1, round(side / multiple)) * multiple for side in size)
    return height, width


def prepare(
    images: Sequence[Image],
    size: ImageSize,
    how: Preprocessing,
    device: torch.device,
    dtype: torch.dtype,
    *,
    keep_aspect: int | None = None,
) -> torch.Tensor:
    """(B, 3, h, w) batch on ``device``, of ``size`` or, if ``keep_aspect`` is a multiple to cut to, as
    :func:`resize_keeping_aspect` has it.

    Raises ModelError for an empty batch, a wrong image, or images that keep different shapes.
    """
    if not images:
        raise ModelError("a batch needs at least one image")
    if keep_aspect is None or not isinstance(size, int):
        resized = [resize(image, size, how.interpolation) for image in images]
    else:
        resized = [resize_keeping_aspect(image, size, keep_aspect, how.interpolation) for image in images]
    if len({each.shape for each in resized}) > 1:
        raise ModelError("images that keep their aspect ratio share a batch only if it is the same")
    stacked = torch.stack(resized)
    batch = stacked.to(device).float().div_(255)
    mean = torch.tensor(how.mean, device=device)[:, None, None]
    std = torch.tensor(how.std, device=device)[:, None, None]
    # Channels last: the same numbers up to rounding, and convolutions of a batch are twice as fast on a CPU.
    return batch.sub_(mean).div_(std).to(dtype, memory_format=torch.channels_last)
