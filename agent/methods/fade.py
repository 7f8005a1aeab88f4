"""``Fade``: zero- and few-shot anomaly detection by language and vision (FADE, BMVC 2024; METHODS section 1).

The arithmetic here is shared by the preset ``fade`` (the paper's constants) and by ``sightline``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch

from agent.domain.frame import Image
from agent.domain.prompts import GENERIC_NOUN, PromptSet, PromptSource, combine, compositional_ensemble
from agent.domain.recipe import Recipe
from agent.domain.regions import Regions
from agent.methods.batching import (
    combined_digest,
    distinct,
    fingerprint_of,
    require_references,
    score_by_parameters,
)
from agent.methods.feature_cache import FeatureCache, are_references, content_key
from agent.methods.language import (
    Vocabulary,
    Words,
    anomaly_probability,
    best_label,
    label_lead,
    logit_scale,
)
from agent.methods.maps import average_maps, pool_map
from agent.methods.memory import (
    WHOLE_BANK,
    MemoryBank,
    bank_of,
    join_depths,
    self_distances,
    tempered_distances,
)
from agent.methods.memory_state import memory_digest
from agent.methods.parameters import SQUARE, check_aspect, override, size_of, with_parameters
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.prompt_library import library
from agent.methods.registry import MethodModels, given
from agent.methods.variants import check_variants
from agent.ports import ImageFeatures, ImageSize, ImageTextEncoder, PatchEncoder


@dataclass(frozen=True, slots=True)
class FadeParameters:
    """The constants of FADE; the defaults are the paper's (METHODS 1.4) but for the three that
    :data:`PRESET` sets, which a single set of descriptions and convolutional features ask for."""

    scales: tuple[int, ...] = (240, 448, 896)
    """Side lengths in pixels that frames are resized to. The image score by language uses the first."""
    aspect: str = field(default=SQUARE, repr=False)
    """``square``: images are squeezed into a square, as in the paper. ``keep``: they keep their aspect ratio
    and get the area of that square (:func:`agent.methods.parameters.size_of`)."""
    map_size: int = 56
    """Maps of all scales are averaged at this side length."""
    zero_shot_gain: float = 80.0
    """Factor on vision distances without references, where second-nearest distances are tiny."""
    zero_shot_map_vision: float = 0.5
    """Weight of vision in the zero-shot map; the rest is language."""
    zero_shot_image_map: float = 0.0
    """Weight of the pooled language map in the zero-shot image score; 0: the image embedding alone."""
    few_shot_gain: float = 3.5
    """Factor on vision distances to the memory bank."""
    few_shot_map_vision: float = 0.85
    """Weight of vision in the few-shot map."""
    few_shot_image_vision: float = 0.5
    """Weight of pooled vision in the few-shot image score."""
    pool_fraction: float = 0.0
    """Share of the highest pixels whose mean sums up a map; 0: the maximum."""
    smoothing: int = 3
    """Patch features are averaged over so many neighbours a side before they are compared."""
    bank_limit: int = 16384
    """Most vectors in a memory bank of one scale; beyond it a coreset is kept."""
    spread_weight: float = 0.0
    """How much less a distance counts if references differ from each other
    (:func:`agent.methods.memory.tempered_distances`); 0: not at all, as in the paper."""
    angles: tuple[float, ...] = (0.0,)
    """Degrees of rotation in which every reference is memorised."""
    brightness: tuple[float, ...] = (1.0,)
    """Every reference is memorised with its levels times each of these."""
    clip: bool = True
    """Limit scores and maps to [0, 1]."""
    temperature: float = 0.0
    """Of the softmax over normal and anomalous words; 0: the one that the model was trained with, which for
    CLIP is the paper's 0.01."""
    wrap_prompt: bool = True
    """Put prompts into "a photo of a ..." as the authors' implementation did."""
    image_words: str = "recipe"
    """Which descriptions give the image score: those of the ``recipe``, or the compositional ``ensemble``
    with its noun whatever the recipe describes, as in the paper."""
    map_words: str = "recipe"
    """Which descriptions give the map: those of the ``recipe``, or the ``library``: the compositional
    ensemble with the noun "object" and, as in the paper, sentences that name no product (the recipe's own
    if a person or a language model wrote them, else Sightline's)."""
    mask_threshold: float = 0.5
    """Pixels above this are defective if no calibration sets another threshold."""

    def __post_init__(self) -> None:
        if self.image_words not in ("recipe", "ensemble"):
            raise ValueError(f"image_words is 'recipe' or 'ensemble', not {self.image_words!r}")
        if self.map_words not in ("recipe", "library"):
            raise ValueError(f"map_words is 'recipe' or 'library', not {self.map_words!r}")
        if not self.scales or any(scale < 32 for scale in self.scales):
            raise ValueError("scales are side lengths of at least 32 pixels, one or more of them")
        if self.bank_limit < 1:
            raise ValueError("bank_limit is at least 1")
        if self.spread_weight < 0.0:
            raise ValueError("spread_weight is not negative")
        check_variants(self.angles, self.brightness)
        check_aspect(self.aspect)
        if self.temperature < 0.0:
            raise ValueError("temperature is above 0, or 0 for the model's own")
        if self.map_size < 1:
            raise ValueError("map_size is at least 1")
        if not 0.0 <= self.pool_fraction <= 1.0:
            raise ValueError("pool_fraction is a share of the pixels, 0 to 1")


PRESET = FadeParameters(smoothing=1, image_words="ensemble", map_words="library")
"""The preset ``fade``: single patch tokens, and the paper's two sets of descriptions (METHODS 1.3)."""


SCORING = frozenset(
    {
        "map_size",
        "zero_shot_gain",
        "zero_shot_map_vision",
        "zero_shot_image_map",
        "few_shot_gain",
        "few_shot_map_vision",
        "few_shot_image_vision",
        "pool_fraction",
        "spread_weight",
        "clip",
        "temperature",
        "wrap_prompt",
        "image_words",
        "map_words",
        "mask_threshold",
    }
)
"""Parameters that no memory depends on. Of ``spread_weight`` it does as far as the spread is measured."""


def build(models: MethodModels, parameters: FadeParameters) -> Fade:
    """The method over a vision-language model, with a few-shot backbone if there is one."""
    return Fade(given(models.encoder), models.backbone, parameters)


def describing(recipe: Recipe, parameters: FadeParameters) -> tuple[PromptSet, PromptSet]:
    """The descriptions for the image score and for the map (METHODS 1.3)."""
    own = recipe.prompts
    image = own
    if parameters.image_words == "ensemble":
        image = replace(compositional_ensemble(recipe.noun), defects=own.defects)
    if parameters.map_words == "recipe":
        return image, own
    sentences = library() if own.source is PromptSource.TEMPLATE else own
    # Regions are named by the defects of the first set; the second need not embed any.
    return image, replace(combine(compositional_ensemble(GENERIC_NOUN), sentences), defects=())


@dataclass(frozen=True, slots=True)
class FadePrepared(PreparedRecipe):
    """A recipe as FADE needs it."""

    parameters: FadeParameters
    words: Words
    """For the image score, and the named defects."""
    map_words: Words
    banks: tuple[MemoryBank, ...] = ()
    """One a scale; empty without references."""

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

    @property
    def pool_fraction(self) -> float:
        return self.parameters.pool_fraction


class Fade:
    """Scores by FADE's aggregation table with the parameters of each recipe."""

    def __init__(
        self,
        encoder: ImageTextEncoder,
        backbone: PatchEncoder | None = None,
        defaults: FadeParameters | None = None,
    ) -> None:
        """``backbone`` gives the few-shot features; without one the encoder's own depths serve."""
        self._encoder = encoder
        self._backbone = backbone
        self._defaults = defaults or FadeParameters()
        self._vocabulary = Vocabulary(encoder)
        self._cache = FeatureCache()

    @property
    def digest(self) -> str:
        """sha256 over the digests of every model that takes part."""
        return combined_digest(self._encoder, self._backbone)

    @property
    def fingerprint(self) -> str:
        written = library().digest if self._defaults.map_words == "library" else ""
        return fingerprint_of(self.digest, self._defaults, written)

    def memory_key(self, recipe: Recipe) -> str:
        parameters = override(self._defaults, recipe.parameters)
        return memory_digest(self.digest, parameters, SCORING, bool(parameters.spread_weight))

    def orientations(self, recipe: Recipe) -> tuple[float, ...]:
        return override(self._defaults, recipe.parameters).angles

    def reference_side(self, recipe: Recipe) -> int | None:
        return max(override(self._defaults, recipe.parameters).scales)

    def comparing(self, recipe: Recipe) -> Recipe:
        return with_parameters(recipe, bank_limit=WHOLE_BANK, spread_weight=0.0)

    @torch.inference_mode()
    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> FadePrepared:
        require_references(recipe, references)
        parameters = override(self._defaults, recipe.parameters)
        for_image, for_map = describing(recipe, parameters)
        banks = tuple(self._bank(references, scale, parameters, groups) for scale in parameters.scales)
        return FadePrepared(
            recipe=recipe,
            parameters=parameters,
            words=self._vocabulary.words(for_image, wrap=parameters.wrap_prompt),
            map_words=self._vocabulary.words(for_map, wrap=parameters.wrap_prompt),
            banks=banks if references else (),
        )

    def _bank(
        self, references: Sequence[Image], scale: int, parameters: FadeParameters, groups: Groups
    ) -> MemoryBank:
        if not references:
            return MemoryBank(torch.zeros(0, 1), torch.zeros(0, dtype=torch.long))
        patches = (self._memorised(image, scale, parameters) for image in references)
        bank = bank_of(patches, limit=parameters.bank_limit, groups=groups)
        bank = bank.with_spread() if parameters.spread_weight else bank
        return bank if groups else bank.with_index()  # of parts of it there is none

    def _memorised(self, image: Image, scale: int, parameters: FadeParameters) -> torch.Tensor:
        """(variants, h, w, C) unit vectors of one reference."""
        p = parameters
        how = (size_of(image, scale, p.aspect), p.smoothing)
        return self._cache.of_variants(
            image, how, p.angles, p.brightness, lambda one: self._vision([one], scale, p)
        )

    def _vision(
        self,
        images: Sequence[Image],
        scale: int,
        parameters: FadeParameters,
        features: ImageFeatures | None = None,
    ) -> torch.Tensor:
        size = size_of(images[0], scale, parameters.aspect)
        if self._backbone is not None:
            unique, rows = distinct(images)
            depths = tuple(depth[rows] for depth in self._backbone.encode_patches(unique, size))
        elif features is not None:
            depths = features.depths
        else:
            depths = self._encoder.encode_patches(images, size)
        return join_depths(depths, smoothing=parameters.smoothing)

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """Frames with equal parameters share their passes, and of one shape if they keep it."""
        return score_by_parameters(images, prepared, FadePrepared, self._score_group)

    def _score_group(self, images: list[Image], recipes: list[FadePrepared]) -> list[Scored]:
        parameters = recipes[0].parameters
        unique, rows = distinct(images)
        sizes = [size_of(images[0], scale, parameters.aspect) for scale in parameters.scales]
        passes = [_rows(self._encode(unique, size), rows) for size in sizes]
        first, scale = passes[0], logit_scale(self._encoder, parameters.temperature)
        directions = torch.stack([recipe.words.direction for recipe in recipes]).to(first.image)
        language = anomaly_probability(first.image, directions, scale)
        places = torch.stack([recipe.map_words.direction for recipe in recipes]).to(first.image)
        language_map = average_maps(
            [anomaly_probability(p.patches, places[:, None, None, :], scale) for p in passes],
            parameters.map_size,
        )
        vision_map = average_maps(
            [
                self._distances(images, recipes, level, parameters, features)
                for level, features in enumerate(passes)
            ],
            parameters.map_size,
        )
        few_shot = torch.tensor([bool(recipe.banks) for recipe in recipes], device=language.device)
        inspected = [recipe.inspected for recipe in recipes]
        scores, maps = aggregate(language, language_map, vision_map, few_shot, parameters, inspected)
        return [Scored(float(scores[i]), maps[i], first.patches[i]) for i in range(len(images))]

    def _encode(self, images: list[Image], size: ImageSize) -> ImageFeatures:
        if not are_references():
            return self._encoder.encode_images(images, size)
        each = [self._encode_reference(image, size) for image in images]
        return ImageFeatures(
            image=torch.cat([one.image for one in each]),
            patches=torch.cat([one.patches for one in each]),
            depths=tuple(torch.cat(depth) for depth in zip(*(one.depths for one in each), strict=True)),
        )

    def _encode_reference(self, image: Image, size: ImageSize) -> ImageFeatures:
        def encode() -> tuple[torch.Tensor, ...]:
            found = self._encoder.encode_images([image], size)
            return (found.image, found.patches, *found.depths)

        whole, patches, *depths = self._cache.get((content_key(image), size), encode)
        return ImageFeatures(whole, patches, tuple(depths))

    def _distances(
        self,
        images: list[Image],
        recipes: list[FadePrepared],
        level: int,
        parameters: FadeParameters,
        features: ImageFeatures,
    ) -> torch.Tensor:
        few = [i for i, recipe in enumerate(recipes) if recipe.banks]
        zero = [i for i, recipe in enumerate(recipes) if not recipe.banks]
        maps: dict[int, torch.Tensor] = {}
        if zero:
            alone = self_distances(features.patches[zero])
            maps.update(zip(zero, alone, strict=True))
        if few:
            shown, scale = [images[i] for i in few], parameters.scales[level]
            if are_references():
                plain = replace(parameters, angles=(0.0,), brightness=(1.0,))
                joined = torch.cat([self._memorised(image, scale, plain) for image in shown])
            else:
                joined = self._vision(shown, scale, parameters, _rows(features, few))
            for row, i in enumerate(few):
                maps[i] = tempered_distances(joined[row], recipes[i].banks[level], parameters.spread_weight)
        # Grids differ if the few-shot features are finer than the aligned ones.
        return torch.cat(
            [average_maps([maps[i].unsqueeze(0)], parameters.map_size) for i in range(len(images))]
        )


def _rows(features: ImageFeatures, rows: list[int]) -> ImageFeatures:
    return ImageFeatures(
        image=features.image[rows],
        patches=features.patches[rows],
        depths=tuple(depth[rows] for depth in features.depths),
    )


def aggregate(
    language: torch.Tensor,
    language_map: torch.Tensor,
    vision_map: torch.Tensor,
    few_shot: torch.Tensor,
    parameters: FadeParameters,
    inspected: Sequence[Regions] = (),
) -> tuple[torch.Tensor, torch.Tensor]:
    """FADE's Table 2: image scores and maps from language and vision (METHODS 1.4).

    ========  =====  ==========================================================================
    task      shots  formula (paper's constants)
    ========  =====  ==========================================================================
    image     0      s_lang
    image     k      clip((s_lang + max(3.5 M_vis)) / 2, 0, 1)
    map       0      clip(0.5 M_lang + 0.5 (80 M_vis), 0, 1)
    map       k      clip(0.15 M_lang + 0.85 (3.5 M_vis), 0, 1)
    ========  =====  ==========================================================================

    Args:
        language: (B,) probabilities of the whole images.
        language_map: (B, H, W) probabilities.
        vision_map: (B, H, W) distances, before the gain.
        few_shot: (B,) True for images whose ``vision_map`` compares with references.
        inspected: of each image, which part of its map is summed up; none given: all of it.

    Returns:
        (B,) image scores and (B, H, W) maps.
    """
    p = parameters
    gain = torch.where(few_shot, p.few_shot_gain, p.zero_shot_gain).to(vision_map)
    vision = vision_map * gain[:, None, None]
    weight = torch.where(few_shot, p.few_shot_map_vision, p.zero_shot_map_vision).to(vision_map)
    maps = torch.lerp(language_map, vision, weight[:, None, None])
    zero = language
    if p.zero_shot_image_map:
        worst = pool_map(language_map, p.pool_fraction, inspected)
        zero = torch.lerp(language, worst, p.zero_shot_image_map)
    few = torch.lerp(language, pool_map(vision, p.pool_fraction, inspected), p.few_shot_image_vision)
    scores = torch.where(few_shot, few, zero)
    if p.clip:
        scores, maps = scores.clamp(0.0, 1.0), maps.clamp(0.0, 1.0)
    return scores, maps
