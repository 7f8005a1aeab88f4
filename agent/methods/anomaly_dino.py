"""``AnomalyDino``: the nearest patch of rotated references, by DINOv2 features (METHODS 8.1)."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
import torch

from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.batching import fingerprint_of, require_references, score_by_parameters
from agent.methods.feature_cache import FeatureCache
from agent.methods.maps import FloatMap, highest_mean, inside, to_pixels
from agent.methods.memory import WHOLE_BANK, MemoryBank, bank_of, join_depths, nearest_distances
from agent.methods.memory_state import memory_digest
from agent.methods.parameters import override, with_parameters
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.registry import MethodModels, given
from agent.methods.variants import check_variants, evenly_spaced
from agent.ports import PatchEncoder


@dataclass(frozen=True, slots=True)
class AnomalyDinoParameters:
    """The constants of AnomalyDINO; the defaults are the paper's."""

    size: int = 448
    """The shorter side in pixels (448 or 672); the aspect ratio is kept."""
    rotations: int = 8
    """Every reference is memorised in so many orientations, evenly spaced; 1: as it is."""
    angles: tuple[float, ...] = ()
    """The orientations in degrees; empty: evenly spaced, by ``rotations``."""
    brightness: tuple[float, ...] = (1.0,)
    """Every reference is memorised with its levels times each of these."""
    masking: bool = False
    """Leave the background out. The paper decides it for each class: for products on a plain ground."""
    mask_level: float = 10.0
    """Patches above this on the first principal component are the product."""
    mask_middle: float = 0.6
    """The middle of the image, as a share of each side, where the product is expected."""
    mask_least: float = 0.35
    """With no more of the middle than this share in the foreground, foreground and background are swapped."""
    top_fraction: float = 0.01
    """The image score is the mean of this share of the highest patch distances, at least one."""
    sigma: float = 4.0
    """Deviation of the Gaussian over the map, in pixels of the frame."""
    map_side: int = 1024
    """Maps of larger frames are made at this longer side, ``sigma`` with them."""
    smoothing: int = 1
    """Patch features are averaged over so many neighbours a side before they are compared."""
    bank_limit: int = 0
    """Most vectors in the memory bank, beyond it a coreset is kept; 0: all of them, as in the paper."""
    mask_threshold: float = 0.5
    """Pixels above this are defective if no calibration sets another threshold."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.map_side < 32:
            raise ValueError("size and map_side are side lengths of at least 32 pixels")
        if self.rotations < 1 or self.smoothing < 1:
            raise ValueError("rotations and smoothing are at least 1")
        check_variants(self.orientations, self.brightness)
        if not (0.0 < self.mask_middle <= 1.0 and 0.0 <= self.mask_least <= 1.0):
            raise ValueError("mask_middle and mask_least are shares, 0 to 1")
        if not 0.0 <= self.top_fraction <= 1.0:
            raise ValueError("top_fraction is a share of the patches, 0 to 1")
        if self.sigma < 0.0 or self.bank_limit < 0:
            raise ValueError("sigma and bank_limit are not negative")

    @property
    def orientations(self) -> tuple[float, ...]:
        """Degrees by which references are rotated."""
        return self.angles or evenly_spaced(self.rotations)


PRESET = AnomalyDinoParameters()


SCORING = frozenset(
    {
        "masking",
        "mask_level",
        "mask_middle",
        "mask_least",
        "top_fraction",
        "sigma",
        "map_side",
        "mask_threshold",
    }
)
"""Parameters that no memory depends on: references are memorised with their background."""


def build(models: MethodModels, parameters: AnomalyDinoParameters) -> AnomalyDino:
    """The method over the backbone, or over the encoder if none is configured."""
    return AnomalyDino(given(models.backbone or models.encoder), parameters)


@dataclass(frozen=True, slots=True)
class AnomalyDinoPrepared(PreparedRecipe):
    """A recipe as AnomalyDINO needs it. Regions have no names: the features are not comparable with words."""

    parameters: AnomalyDinoParameters
    bank: MemoryBank | None
    """None without references: then nothing can be scored."""

    @property
    def complete(self) -> bool:
        return self.bank is None or self.bank.complete

    def without(self, references: Collection[int]) -> Self:
        """Removes all orientations of the references."""
        return self if self.bank is None else replace(self, bank=self.bank.without(references))

    def without_groups(self) -> Self:
        return self if self.bank is None else replace(self, bank=self.bank.without_groups())

    @property
    def memory(self) -> tuple[MemoryBank, ...]:
        return () if self.bank is None else (self.bank,)

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> Self:
        return replace(self, recipe=recipe, bank=banks[0])

    @property
    def mask_threshold(self) -> float:
        return self.parameters.mask_threshold

    @property
    def pool_fraction(self) -> float:
        return self.parameters.top_fraction


class AnomalyDino:
    """Scores by the distance of each patch to the nearest one of the references; needs references."""

    def __init__(self, backbone: PatchEncoder, defaults: AnomalyDinoParameters | None = None) -> None:
        """``backbone`` is DINOv2 ViT-S/14 in the paper; any features of one or more depths serve."""
        self._backbone = backbone
        self._defaults = defaults or AnomalyDinoParameters()
        self._cache = FeatureCache()

    @property
    def digest(self) -> str:
        return self._backbone.digest

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.digest, self._defaults)

    def memory_key(self, recipe: Recipe) -> str:
        return memory_digest(self.digest, override(self._defaults, recipe.parameters), SCORING)

    def orientations(self, recipe: Recipe) -> tuple[float, ...]:
        return override(self._defaults, recipe.parameters).orientations

    def comparing(self, recipe: Recipe) -> Recipe:
        return with_parameters(recipe, bank_limit=WHOLE_BANK)

    @torch.inference_mode()
    def prepare(
        self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()
    ) -> AnomalyDinoPrepared:
        require_references(recipe, references)
        parameters = override(self._defaults, recipe.parameters)
        vectors = (self._memorised(image, parameters) for image in references)
        if not references:
            return AnomalyDinoPrepared(recipe, parameters, None)
        bank = bank_of(vectors, limit=parameters.bank_limit, groups=groups)
        return AnomalyDinoPrepared(recipe, parameters, bank if groups else bank.with_index())

    def _memorised(self, image: Image, parameters: AnomalyDinoParameters) -> torch.Tensor:
        """(n, C) unit vectors of one reference in all its orientations."""
        p = parameters
        how = (p.size, p.smoothing)
        return self._cache.of_variants(
            image, how, p.orientations, p.brightness, lambda one: self._patches(one, p)[0].flatten(0, 1)
        )

    def _patches(
        self, image: Image, parameters: AnomalyDinoParameters
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(h, w, C) unit vectors and the depths that they are made of."""
        depths = self._backbone.encode_patches([image], parameters.size, keep_aspect=True)
        return join_depths(depths, smoothing=parameters.smoothing)[0], depths

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Frames of a recipe without references get no score."""
        return score_by_parameters(images, prepared, AnomalyDinoPrepared, self._score_group)

    def _score_group(self, images: list[Image], recipes: list[AnomalyDinoPrepared]) -> list[Scored]:
        return [self._score_one(image, recipe) for image, recipe in zip(images, recipes, strict=True)]

    def _score_one(self, image: Image, recipe: AnomalyDinoPrepared) -> Scored:
        p = recipe.parameters
        if recipe.bank is None:
            sku = recipe.recipe.sku
            return Scored.without_score(
                f"anomaly-dino compares with references and {sku!r} has none; enroll images of good parts "
                f"(sightline enroll --sku {shlex.quote(sku)} --references DIR, or the reference topic), or "
                "choose another method for it"
            )
        patches, depths = self._patches(image, p)
        distances = 2.0 * nearest_distances(patches, recipe.bank)  # 1 - cosine
        if p.masking:
            product = foreground(depths[-1][0], p.mask_level, middle=p.mask_middle, least=p.mask_least).to(
                distances.device
            )
            distances = distances * _on_grid(product, distances.shape)
        counted = inside(distances, recipe.inspected)
        score = float(highest_mean(counted[None], int(p.top_fraction * counted.numel()))[0])
        return Scored(score, torch.from_numpy(_smooth_map(distances, image, p)))


def foreground(
    tokens: torch.Tensor, level: float, *, middle: float = 0.6, least: float = 0.35
) -> torch.Tensor:
    """(h, w) bool: the patches above ``level`` on the first principal component of the (h, w, C) tokens.

    The sign of a component means nothing: if no more than ``least`` of the ``middle`` of the image comes
    out as foreground, the other sign is taken. Gaps are dilated and closed with a 3 x 3 square.
    """
    height, width, channels = tokens.shape
    flat = tokens.reshape(-1, channels).double()
    centred = flat - flat.mean(dim=0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    component = (centred @ vectors[:, -1]).view(height, width).cpu().numpy()
    mask = component > level
    border = (1.0 - middle) / 2.0
    top, left = int(height * border), int(width * border)
    inner = mask[top : height - top, left : width - left]
    if inner.sum() <= least * inner.size:
        mask = -component > level
    square = np.ones((3, 3), dtype=np.uint8)
    grown = cv2.dilate(mask.astype(np.uint8), square)
    return torch.from_numpy(cv2.morphologyEx(grown, cv2.MORPH_CLOSE, square) > 0)


def _on_grid(mask: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The mask on the grid of the finest depth, if depths differ."""
    if mask.shape == shape:
        return mask.float()
    resized = torch.nn.functional.interpolate(mask[None, None].float(), size=tuple(shape), mode="nearest")
    return resized[0, 0]


def _smooth_map(distances: torch.Tensor, image: Image, p: AnomalyDinoParameters) -> FloatMap:
    """Bilinear to the frame's size (at most ``map_side``), then the Gaussian."""
    height, width = image.shape[:2]
    factor = min(1.0, p.map_side / max(height, width))
    pixels = to_pixels(distances, max(1, round(width * factor)), max(1, round(height * factor)))
    if p.sigma == 0.0:
        return pixels
    sigma = p.sigma * factor
    reach = 2 * int(4.0 * sigma + 0.5) + 1  # four deviations a side
    smooth = cv2.GaussianBlur(pixels, (reach, reach), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth, dtype=np.float32)
