"""``Preprocessing``: how a model's training normalised images. Needs no PyTorch, so listings are quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """RGB in [0, 1], minus ``mean``, over ``std``."""

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

PREPROCESSINGS: Mapping[str, Preprocessing] = MappingProxyType(
    {"clip": CLIP_PREPROCESSING, "imagenet": IMAGENET_PREPROCESSING, "signed": SIGNED_PREPROCESSING}
)
"""By the names that a configuration uses."""
