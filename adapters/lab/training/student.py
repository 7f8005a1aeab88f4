"""The network that is trained: the trunk of the bundled model, by blocks and by depths."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from adapters.models.encoders.depths import stages_at, take_stages

ARCHITECTURE = "mobilenetv2_100"
COMPARED = (2, 4)
"""Stages whose outputs are compared with references."""
STRIDES = (8, 16)
"""Theirs."""


def blocks_of(trunk: Any) -> list[nn.Module]:
    """Stem and inverted-residual blocks in order, each a map from features to features."""
    stem = nn.Sequential(trunk.conv_stem, trunk.bn1)
    return [stem, *(block for stage in trunk.blocks for block in stage)]


def stage_ends(trunk: Any) -> list[int]:
    """Index into :func:`blocks_of` of the last block of each stage."""
    return np.cumsum([len(stage) for stage in trunk.blocks]).tolist()


def channels_of(trunk: Any) -> list[int]:
    """After the stages that are compared with references."""
    return [int(trunk.feature_info[stage]["num_chs"]) for stage in stages_at(trunk, STRIDES)]


def compared(trunk: Any, images: torch.Tensor) -> list[torch.Tensor]:
    """(B, C_i, h_i, w_i) after the stages that are compared with references, of images in [0, 1]."""
    return take_stages(trunk, to_network(images), stages_at(trunk, STRIDES))


def to_network(images: torch.Tensor) -> torch.Tensor:
    """[0, 1] to the student's [-1, 1], channels last."""
    return (images * 2 - 1).to(memory_format=torch.channels_last)


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights lie."""
    return next(model.parameters()).device
