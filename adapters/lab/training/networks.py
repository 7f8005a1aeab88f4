"""Student and ``Teacher``: the network that is trained, and the pretrained one that leads it.

The student is the trunk of the bundled model. A :class:`Twin` is of the same architecture and has a
counterpart for each of its blocks. A :class:`Foreign` teacher is any other network that timm builds. It has
maps at about the same strides, of other channels; a fixed linear map takes them to the student's. That map is
not a layer to be trained and thrown away (the regressor of FitNets, Romero et al. 2015). References are
compared by inner products of unit vectors, and no other linear map into so few channels keeps inner products
as well (Eckart and Young 1936). The student so learns the teacher's comparisons themselves.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from adapters.models.encoders.backbone import TimmBackbone, create_trunk
from adapters.models.encoders.depths import is_transformer, reductions, stages_at, take_stages
from adapters.models.encoders.normalisation import PREPROCESSINGS, SIGNED_PREPROCESSING, Preprocessing
from adapters.models.weights.catalogue import TIMM_PREFIX, timm_network
from adapters.models.weights.local import load_into, load_state, sha256_of
from agent.domain.errors import ConfigurationError, ModelError

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


# ------------------------------------------------------------------------------------ the teacher


FITTED = 256
"""Drawn images of each pool that the map to the student's channels is fitted on."""
_BATCH = 16

Images = NDArray[np.uint8]
Drawn = Callable[[], Iterable[Images]]
"""Gives pools of drawn images, (N, H, W, 3) each; called only if a map has to be fitted."""

logger = logging.getLogger(__name__)


class Teacher(Protocol):
    """What the student should find at the depths that are compared with references."""

    name: str
    digest: str
    """sha256 of the weights."""

    def depths(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, C_i, h_i, w_i) float32 in the student's channels and grids, of (B, 3, H, W) in [0, 1]."""
        ...


class Twin:
    """A network of the student's architecture."""

    def __init__(self, network: Any, digest: str = "", name: str = ARCHITECTURE) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.digest, self.name = digest, name

    @torch.no_grad()
    def depths(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Its own features, as they are."""
        return compared(self.network, images)


class Foreign:
    """Any other network; a vision transformer gives its middle block at stride 8, its last at stride 16."""

    def __init__(self, backbone: TimmBackbone, matrices: Sequence[torch.Tensor]) -> None:
        """``matrices``: (C_student, C_teacher) for each stride, as :func:`fit` finds them."""
        self.backbone, self._matrices = backbone, tuple(matrices)
        self.name, self.digest = backbone.name.removeprefix(TIMM_PREFIX), backbone.digest

    @torch.no_grad()
    def depths(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Its maps in the student's channels."""
        pairs = zip(raw_maps(self.backbone, images), self._matrices, strict=True)
        return [F.conv2d(maps, matrix.to(maps)[:, :, None, None]) for maps, matrix in pairs]


def raw_maps(backbone: TimmBackbone, images: torch.Tensor) -> list[torch.Tensor]:
    """(B, C_i, ceil(H / stride), ceil(W / stride)) at each of ``STRIDES``, of (B, 3, H, W) in [0, 1].

    A transformer is shown images enlarged until a patch is a cell of the finest grid.

    Raises:
        ModelError: the network takes no images of that size.
    """
    height, width = images.shape[2:]
    grids = [(-(-height // stride), -(-width // stride)) for stride in STRIDES]
    if backbone.multiple > 1:
        size = (grids[0][0] * backbone.multiple, grids[0][1] * backbone.multiple)
        images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (
        torch.tensor(each, device=images.device)[:, None, None]
        for each in (backbone.preprocessing.mean, backbone.preprocessing.std)
    )
    batch = ((images - mean) / std).to(memory_format=torch.channels_last)
    try:
        found = backbone.maps(batch)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:  # such as windows that do not fill the map
        sides = f"{batch.shape[2]} x {batch.shape[3]} px"
        first = (str(error).splitlines() or [""])[0][:160]
        raise ModelError(
            f"{backbone.name} cannot take images of {sides} ({first}); choose a teacher that takes any size"
        ) from error
    return [_on(maps.float(), grid) for maps, grid in zip(found, grids, strict=True)]


def _on(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Means if the grid is coarser; between cells if it is finer (networks that do not pad)."""
    if maps.shape[2] < grid[0] or maps.shape[3] < grid[1]:
        return F.interpolate(maps, grid, mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(maps, grid)


# ------------------------------------------------------------------------------------------ the linear map


def fit(second_moment: torch.Tensor, channels: int, generator: torch.Generator) -> tuple[torch.Tensor, float]:
    """The linear map into ``channels`` that keeps inner products best, and the share of energy it keeps.

    Of the (C, C) mean of x x^T the first eigenvectors are kept, then turned at random within the student's
    channels: a turn changes no inner product, and spreads evenly what would else lie in the first channels,
    so that a loss that divides each channel by its deviation blows up no weak one. The mean square of a
    channel is 1 afterwards.

    Returns:
        (channels, C) float32; orthogonal rows but for the scale if channels <= C, columns if not.
    """
    values, vectors = torch.linalg.eigh(second_moment.double())
    kept = vectors.flip(1)[:, :channels].T  # (min(channels, C), C), strongest first
    share = float(values.flip(0)[: len(kept)].sum() / values.sum())
    noise = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(noise).Q[:, : len(kept)]
    matrix = turn @ kept
    energy = float((matrix @ second_moment.double() @ matrix.T).trace()) / channels
    return (matrix / max(energy, 1e-12) ** 0.5).float(), share


@torch.no_grad()
def second_moments(backbone: TimmBackbone, pools: Iterable[Images], device: str) -> list[torch.Tensor]:
    """(C_i, C_i) mean of x x^T over all places of the images, float64, for each of ``STRIDES``."""
    sums: list[torch.Tensor] = []
    places = [0] * len(STRIDES)
    for pool in pools:
        for start in range(0, len(pool), _BATCH):
            images = torch.from_numpy(np.array(pool[start : start + _BATCH])).permute(0, 3, 1, 2)
            flat = [
                maps.permute(0, 2, 3, 1).flatten(0, 2)
                for maps in raw_maps(backbone, images.to(device).float() / 255)
            ]
            found = [(each.T @ each).double().cpu() for each in flat]
            sums = [one + other for one, other in zip(sums, found, strict=True)] if sums else found
            places = [count + len(each) for count, each in zip(places, flat, strict=True)]
    if not sums:
        raise ConfigurationError("there are no drawn images to fit a teacher's channels on")
    return [each / count for each, count in zip(sums, places, strict=True)]


# ------------------------------------------------------------------------------------------ loading


def add_teacher_options(parser: argparse.ArgumentParser) -> None:
    """Options that describe a ``--teacher FILE`` of another architecture than MobileNetV2."""
    parser.add_argument(
        "--teacher-architecture",
        default=ARCHITECTURE,
        metavar="NAME",
        help="what timm calls the teacher's architecture: resnet50, vit_small_patch14_dinov2 and others",
    )
    parser.add_argument(
        "--teacher-preprocessing",
        choices=sorted(PREPROCESSINGS),
        help="how the teacher was shown its images; default: as its catalogue entry or timm says",
    )


def load_teacher(
    path: Path,
    name: str,
    channels: Sequence[int],
    drawn: Drawn,
    record: Path,
    *,
    preprocessing: Preprocessing | None = None,
    device: str = "cpu",
) -> Teacher:
    """The pretrained network in a local file, frozen, on a device.

    Args:
        name: what timm calls the architecture; with the student's, and images in [-1, 1], a :class:`Twin`.
        channels: the student's at each of ``STRIDES``, for a teacher that has others.
        drawn: images to fit a foreign teacher's channels on.
        record: where the fitted map is kept: all stages of one training take the same.
        preprocessing: None for what the catalogue or timm says of the name.

    Raises:
        ModelError: the file is missing, damaged or of another architecture, which timm has to know and which
            has to have features at strides 8 and 16 or be a plain vision transformer.
        ConfigurationError: ``record`` was fitted to another teacher.
    """
    name, known = timm_network(name)
    shown = preprocessing or known
    twin = name.partition(".")[0] == ARCHITECTURE and shown == SIGNED_PREPROCESSING
    if twin:
        network = timm.create_model(ARCHITECTURE, pretrained=False)
        load_into(network, load_state(path), path, ARCHITECTURE)
        return Twin(network.to(device), sha256_of(path), name)
    backbone = TimmBackbone(name, path, shown, device=device, strides=STRIDES, blocks=_blocks(name))
    return Foreign(backbone, _matrices(backbone, channels, drawn, record, device))


def _blocks(name: str) -> tuple[int, int] | None:
    """The middle and the last block of a plain vision transformer."""
    trunk = create_trunk(name)
    count = len(reductions(trunk))
    return (max(count // 2 - 1, 0), count - 1) if is_transformer(trunk) else None


def _matrices(
    backbone: TimmBackbone, channels: Sequence[int], drawn: Drawn, record: Path, device: str
) -> list[torch.Tensor]:
    """Fitted before, or now."""
    shown = backbone.preprocessing
    of = {"name": backbone.name, "digest": backbone.digest, "mean": shown.mean, "std": shown.std}
    if record.exists():
        kept: dict[str, Any] = torch.load(record, weights_only=True)
        if {key: kept[key] for key in of} != of:
            raise ConfigurationError(
                f"{record} belongs to the teacher {kept['name']} as it was then; choose another --out"
            )
        return list(kept["matrices"])
    generator = torch.Generator().manual_seed(0)
    moments = second_moments(backbone, (pool[:FITTED] for pool in drawn()), device)
    fitted = [fit(moment, count, generator) for moment, count in zip(moments, channels, strict=True)]
    for stride, moment, (matrix, share) in zip(STRIDES, moments, fitted, strict=True):
        logger.info(
            "%s at stride %d: %d channels to %d keep %.1f %% of its energy",
            backbone.name, stride, len(moment), len(matrix), 100 * share,
        )  # fmt: skip
    matrices = [matrix for matrix, _ in fitted]
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(".partial")
    torch.save({**of, "matrices": matrices}, partial)
    partial.replace(record)  # whole, or not there
    return matrices
