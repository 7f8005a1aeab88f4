"""``WinClip``: windows of patches compared with words, and with windows of references (METHODS section 2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, cast

import torch
import torch.nn.functional as F

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.batching import fingerprint_of, require_references, score_by_parameters
from agent.methods.language import (
    Vocabulary,
    Words,
    anomaly_probability,
    best_label,
    label_lead,
    logit_scale,
)
from agent.methods.maps import harmonic_mean, pool_map, window_map, window_mean
from agent.methods.memory import WHOLE_BANK, MemoryBank, bank_of, nearest_distances
from agent.methods.memory_state import memory_digest
from agent.methods.parameters import SQUARE, check_aspect, override, size_of, with_parameters
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.registry import MethodModels, given
from agent.methods.variants import check_variants, variants
from agent.ports import WindowEncoder, WindowPass


@dataclass(frozen=True, slots=True)
class WinClipParameters:
    """The constants of WinCLIP; the defaults are the paper's."""

    size: int = 240
    """Side length in pixels that frames are resized to."""
    aspect: str = field(default=SQUARE, repr=False)
    """``square``: images are squeezed into a square, as in the paper. ``keep``: they keep their aspect ratio
    and get the area of that square (:func:`agent.methods.parameters.size_of`)."""
    windows: tuple[int, ...] = (2, 3)
    """Side lengths of the windows in patches; the whole image is one more scale."""
    image_vision: float = 0.5
    """Weight of the highest distance to the references in the few-shot image score."""
    map_vision: float = 0.5
    """Weight of the distances to the references in the few-shot map."""
    temperature: float = 0.0
    """Of the softmax over normal and anomalous words; 0: the one that the model was trained with, which for
    CLIP is the paper's 0.01."""
    bank_limit: int = 0
    """Most vectors in a memory bank of one scale; 0: all of them."""
    angles: tuple[float, ...] = (0.0,)
    """Degrees of rotation in which every reference is memorised."""
    brightness: tuple[float, ...] = (1.0,)
    """Every reference is memorised with its levels times each of these."""
    wrap_prompt: bool = False
    """Put prompts into "a photo of a ..." once more, as FADE's authors did."""
    mask_threshold: float = 0.5
    """Pixels above this are defective if no calibration sets another threshold."""

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError("size is a side length of at least 32 pixels")
        if not self.windows or any(side < 1 for side in self.windows):
            raise ValueError("windows are side lengths of at least 1 patch, one or more of them")
        if not (0.0 <= self.image_vision <= 1.0 and 0.0 <= self.map_vision <= 1.0):
            raise ValueError("image_vision and map_vision are weights, 0 to 1")
        if self.temperature < 0.0:
            raise ValueError("temperature is above 0, or 0 for the model's own")
        if self.bank_limit < 0:
            raise ValueError("bank_limit is at least 1, or 0 for no limit")
        check_variants(self.angles, self.brightness)
        check_aspect(self.aspect)


PRESET = WinClipParameters()


SCORING = frozenset({"image_vision", "map_vision", "temperature", "wrap_prompt", "mask_threshold"})
"""Parameters that no memory depends on."""


def build(models: MethodModels, parameters: WinClipParameters) -> WinClip:
    """The method over a vision-language model that can look at windows. Raises RecipeError for others."""
    encoder = given(models.encoder)
    if not hasattr(encoder, "encode_windows"):
        raise RecipeError(f"method 'winclip' needs windows of patches, which {encoder.name} does not give")
    return WinClip(cast(WindowEncoder, encoder), parameters)


@dataclass(frozen=True, slots=True)
class WinClipPrepared(PreparedRecipe):
    """A recipe as WinCLIP needs it."""

    parameters: WinClipParameters
    words: Words
    banks: tuple[MemoryBank, ...] = ()
    """One for each window side and one for single patches, in this order; empty without references."""

    @property
    def complete(self) -> bool:
        return all(bank.complete for bank in self.banks)

    def without(self, references: Collection[int]) -> Self:
        return replace(self, banks=tuple(bank.without(references) for bank in self.banks))

    def without_groups(self) -> Self:
        return replace(self, banks=tuple(bank.without_groups() for bank in self.banks))

    @property
    def memory(self) -> tuple[MemoryBank, ...]:
        return self.banks

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> Self:
        return replace(self, recipe=recipe, banks=tuple(banks))

    def label(self, region: torch.Tensor) -> str | None:
        return best_label(region, self.words)

    def lead(self, region: torch.Tensor) -> float:
        return label_lead(region, self.words)

    @property
    def mask_threshold(self) -> float:
        return self.parameters.mask_threshold


class WinClip:
    """Scores by the compositional ensemble over windows, with references also by their windows."""

    def __init__(self, encoder: WindowEncoder, defaults: WinClipParameters | None = None) -> None:
        self._encoder = encoder
        self._defaults = defaults or WinClipParameters()
        self._vocabulary = Vocabulary(encoder)

    @property
    def digest(self) -> str:
        return self._encoder.digest

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.digest, self._defaults)

    def memory_key(self, recipe: Recipe) -> str:
        return memory_digest(self.digest, override(self._defaults, recipe.parameters), SCORING)

    def orientations(self, recipe: Recipe) -> tuple[float, ...]:
        return override(self._defaults, recipe.parameters).angles

    def reference_side(self, recipe: Recipe) -> int | None:
        return override(self._defaults, recipe.parameters).size

    def comparing(self, recipe: Recipe) -> Recipe:
        return with_parameters(recipe, bank_limit=WHOLE_BANK)

    @torch.inference_mode()
    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> WinClipPrepared:
        require_references(recipe, references)
        parameters = override(self._defaults, recipe.parameters)
        memorised = [self._memorised(image, parameters) for image in references]
        limit = parameters.bank_limit
        banks = [bank_of(scale, limit=limit, groups=groups) for scale in zip(*memorised, strict=True)]
        words = self._vocabulary.words(recipe.prompts, wrap=parameters.wrap_prompt)
        return WinClipPrepared(recipe, parameters, words, tuple(banks))

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Raises ModelError without a vision transformer."""
        return score_by_parameters(images, prepared, WinClipPrepared, self._score_group)

    def _memorised(self, image: Image, parameters: WinClipParameters) -> list[torch.Tensor]:
        """The features of one reference, all its variants together, by scale."""
        # One image at a time: enrollment runs beside inspection and must not hold the device for long.
        passes = [
            _features(self._pass([one], parameters))
            for one in variants(image, parameters.angles, parameters.brightness)
        ]
        return [torch.cat(scale) for scale in zip(*passes, strict=True)]

    def _pass(self, images: Sequence[Image], parameters: WinClipParameters) -> WindowPass:
        size = size_of(images[0], parameters.size, parameters.aspect)
        return self._encoder.encode_windows(images, size, parameters.windows)

    def _score_group(self, images: list[Image], recipes: list[WinClipPrepared]) -> list[Scored]:
        parameters = recipes[0].parameters
        seen = self._pass(images, parameters)
        directions = torch.stack([recipe.words.direction for recipe in recipes]).to(seen.image)
        language, maps = language_scores(seen, directions, logit_scale(self._encoder, parameters.temperature))
        scores = language.clone()
        features = _features(seen)
        for i, recipe in enumerate(recipes):
            if recipe.banks:
                vision = vision_map([each[i] for each in features], recipe.banks, seen)
                highest = pool_map(vision[None], 0.0, [recipe.inspected])[0]
                scores[i] = torch.lerp(language[i], highest, parameters.image_vision)
                maps[i] = torch.lerp(maps[i], vision, parameters.map_vision)
        smallest = min(seen.windows, key=lambda window: window.covered.shape[1])
        grid = (seen.patches.shape[1], seen.patches.shape[2])
        patches = window_mean(smallest.embeddings, smallest.covered, grid)
        return [Scored(float(scores[i]), maps[i], patches[i]) for i in range(len(images))]


def _features(seen: WindowPass) -> list[torch.Tensor]:
    """Unit vectors of each window side (B, n, D), and of single patches (B, h, w, C)."""
    return [window.embeddings for window in seen.windows] + [F.normalize(seen.patches, dim=-1)]


def language_scores(
    seen: WindowPass, directions: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image scores (B,) and maps (B, h, w) by words.

    A patch takes the harmonic mean over the windows that cover it, then over the scales, of which the
    whole image is one.
    """
    grid = (seen.patches.shape[1], seen.patches.shape[2])
    image = anomaly_probability(seen.image, directions, scale)
    scales = [image[:, None, None].expand(-1, *grid)]
    for window in seen.windows:
        values = anomaly_probability(window.embeddings, directions[:, None, :], scale)
        scales.append(window_map(values, window.covered, grid))
    return image, harmonic_mean(torch.stack(scales))


def vision_map(
    features: Sequence[torch.Tensor], banks: Sequence[MemoryBank], seen: WindowPass
) -> torch.Tensor:
    """(h, w) mean over the scales of one image's distances 0.5 (1 - cosine) to the references.

    Args:
        features: of each window side (n, D), then of single patches (h, w, C).
    """
    grid = (seen.patches.shape[1], seen.patches.shape[2])
    maps = [
        window_map(nearest_distances(own, bank)[None], window.covered, grid)[0]
        for own, bank, window in zip(features, banks, seen.windows, strict=False)
    ]
    maps.append(nearest_distances(features[-1], banks[-1]))
    return torch.stack(maps).mean(dim=0)
