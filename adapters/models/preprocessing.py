"""Pictures of any size to one normalised batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from agent.errors import ModelError
from agent.frame import Image

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a model was shown its pictures: RGB in [0, 1], minus ``mean``, over ``std``."""

    mean: Triple
    std: Triple
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"


CLIP_PREPROCESSING = Preprocessing(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
"""OpenAI's and LAION's CLIP models (METHODS section 0.1)."""
IMAGENET_PREPROCESSING = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SIGNED_PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""RGB scaled to [-1, 1]."""


def resize(image: Image, size: int, interpolation: str = "bicubic") -> torch.Tensor:
    """(3, size, size) uint8. The aspect ratio is not kept and nothing is cropped, as FADE does.

    PyTorch's antialiased 8-bit kernel: the arithmetic of Pillow's resize, the same on every run, and
    independent of the other pictures of the batch.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ModelError(
            f"a model takes RGB pictures of 8 bits, shape (H, W, 3); not {image.shape} {image.dtype}"
        )
    # from_numpy refuses negative strides and warns on read-only arrays: copy only those.
    safe = image if image.flags.writeable and min(image.strides) > 0 else image.copy()
    channels_first = torch.from_numpy(safe).permute(2, 0, 1)
    if channels_first.shape[1:] == (size, size):
        return channels_first
    return F.interpolate(channels_first[None], (size, size), mode=interpolation, antialias=True)[0]


def prepare(
    images: Sequence[Image], size: int, how: Preprocessing, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """(B, 3, size, size) batch on ``device``. Raises ModelError for an empty batch or a wrong picture."""
    if not images:
        raise ModelError("a batch needs at least one picture")
    stacked = torch.stack([resize(image, size, how.interpolation) for image in images])
    batch = stacked.to(device).float().div_(255)
    mean = torch.tensor(how.mean, device=device)[:, None, None]
    std = torch.tensor(how.std, device=device)[:, None, None]
    # Channels last: the same numbers up to rounding, and convolutions of a batch take half the time on a CPU.
    return batch.sub_(mean).div_(std).to(dtype, memory_format=torch.channels_last)
