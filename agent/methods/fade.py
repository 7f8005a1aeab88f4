"""FADE: zero- and few-shot anomaly detection by language and vision (paper 002; METHODS section 1).

The arithmetic here is shared by the preset ``fade`` (the paper's constants) and by ``sightline``.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from agent.errors import RecipeError
from agent.frame import Image
from agent.methods.language import Words, anomaly_probability, best_label, embed_words
from agent.methods.maps import average_maps, pool_map
from agent.methods.memory import MemoryBank, build_bank, join_depths, nearest_distances, self_distances
from agent.methods.method import Prepared, Scored
from agent.methods.parameters import override
from agent.ports import ImageFeatures, ImageTextEncoder, PatchEncoder
from agent.prompts import PromptSet
from agent.recipe import Recipe

_WORDS_KEPT = 256


@dataclass(frozen=True, slots=True)
class FadeParameters:
    """The constants of FADE; the defaults are the paper's (METHODS 1.4)."""

    scales: tuple[int, ...] = (240, 448, 896)
    """Side lengths in pixels that frames are resized to. The image score by language uses the first."""
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
    clip: bool = True
    """Limit scores and maps to [0, 1]."""
    wrap_prompt: bool = True
    """Put prompts into "a photo of a ..." as the authors' implementation did."""
    mask_threshold: float = 0.5
    """Pixels above this are defective where no calibration says otherwise."""

    def __post_init__(self) -> None:
        if not self.scales or any(scale < 32 for scale in self.scales):
            raise ValueError("scales are side lengths of at least 32 pixels, one or more of them")
        if self.bank_limit < 1:
            raise ValueError("bank_limit is at least 1")
        if self.map_size < 1:
            raise ValueError("map_size is at least 1")
        if not 0.0 <= self.pool_fraction <= 1.0:
            raise ValueError("pool_fraction is a share of the pixels, 0 to 1")


@dataclass(frozen=True, slots=True)
class FadePrepared:
    """A recipe as FADE needs it."""

    recipe: Recipe
    parameters: FadeParameters
    words: Words
    banks: tuple[MemoryBank, ...] = ()
    """One a scale; empty without references."""

    def leaving_out(self, reference: int) -> FadePrepared:
        """See :class:`agent.methods.method.Prepared`."""
        return replace(self, banks=tuple(bank.without(reference) for bank in self.banks))

    def belonging_to(self, recipe: Recipe) -> FadePrepared:
        """See :class:`agent.methods.method.Prepared`."""
        return replace(self, recipe=recipe)

    def label(self, region: torch.Tensor) -> str | None:
        """See :class:`agent.methods.method.Prepared`."""
        return best_label(region, self.words)

    @property
    def mask_threshold(self) -> float:
        """See :class:`agent.methods.method.Prepared`."""
        return self.parameters.mask_threshold

    @property
    def pool_fraction(self) -> float:
        """See :class:`agent.methods.method.Prepared`."""
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
        self._words: OrderedDict[tuple[str, bool], Words] = OrderedDict()
        self._lock = threading.Lock()  # recipes are prepared beside the line

    @property
    def digest(self) -> str:
        """sha256 over the digests of every model that takes part."""
        if self._backbone is None:
            return self._encoder.digest
        return hashlib.sha256(f"{self._encoder.digest}+{self._backbone.digest}".encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """See :class:`agent.methods.method.Method`."""
        return hashlib.sha256(f"{self.digest} {self._defaults}".encode()).hexdigest()

    # ------------------------------------------------------------------------------------ preparing

    @torch.inference_mode()
    def prepare(self, recipe: Recipe, references: Sequence[Image]) -> FadePrepared:
        """See :class:`agent.methods.method.Method`."""
        if len(references) != recipe.shots:
            raise RecipeError(
                f"recipe {recipe.sku!r} version {recipe.version} names {recipe.shots} references, "
                f"{len(references)} were read; restore the missing media files or enrol again"
            )
        parameters = override(self._defaults, recipe.parameters)
        banks = tuple(self._bank(references, scale, parameters) for scale in parameters.scales)
        return FadePrepared(
            recipe=recipe,
            parameters=parameters,
            words=self._embedded(recipe.prompts, parameters.wrap_prompt),
            banks=banks if references else (),
        )

    def _bank(self, references: Sequence[Image], scale: int, parameters: FadeParameters) -> MemoryBank:
        if not references:
            return MemoryBank(torch.zeros(0, 1), torch.zeros(0, dtype=torch.long))
        # One picture at a time: enrolment runs beside the line and must not take the device for long.
        patches = [self._vision([image], scale, parameters) for image in references]
        return build_bank(torch.cat(patches), limit=parameters.bank_limit)

    def _embedded(self, prompts: PromptSet, wrap: bool) -> Words:
        key = (prompts.digest, wrap)
        with self._lock:
            words = self._words.get(key)
            if words is not None:
                self._words.move_to_end(key)
                return words
        words = embed_words(self._encoder, prompts, wrap=wrap)
        with self._lock:
            self._words[key] = words
            while len(self._words) > _WORDS_KEPT:
                self._words.popitem(last=False)
        return words

    def _vision(
        self,
        images: Sequence[Image],
        scale: int,
        parameters: FadeParameters,
        features: ImageFeatures | None = None,
    ) -> torch.Tensor:
        if self._backbone is not None:
            depths = self._backbone.encode_patches(images, scale)
        elif features is not None:
            depths = features.depths
        else:
            depths = self._encoder.encode_patches(images, scale)
        return join_depths(depths, smoothing=parameters.smoothing)

    # -------------------------------------------------------------------------------------- scoring

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        """See :class:`agent.methods.method.Method`. Frames with equal parameters share their passes."""
        results: list[Scored | None] = [None] * len(images)
        groups: dict[FadeParameters, list[int]] = {}
        recipes: list[FadePrepared] = []
        for index, item in enumerate(prepared):
            if not isinstance(item, FadePrepared):
                raise RecipeError("a recipe of another method reached FADE")
            recipes.append(item)
            groups.setdefault(item.parameters, []).append(index)
        for parameters, indices in groups.items():
            scored = self._score_group(
                [images[i] for i in indices], [recipes[i] for i in indices], parameters
            )
            for index, one in zip(indices, scored, strict=True):
                results[index] = one
        return [one for one in results if one is not None]

    def _score_group(
        self, images: list[Image], recipes: list[FadePrepared], parameters: FadeParameters
    ) -> list[Scored]:
        passes = [self._encoder.encode_images(images, scale) for scale in parameters.scales]
        first, temperature = passes[0], self._encoder.logit_scale
        directions = torch.stack([recipe.words.direction for recipe in recipes]).to(first.image)
        language = anomaly_probability(first.image, directions, temperature)
        language_map = average_maps(
            [anomaly_probability(p.patches, directions[:, None, None, :], temperature) for p in passes],
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
        scores, maps = aggregate(language, language_map, vision_map, few_shot, parameters)
        return [Scored(float(scores[i]), maps[i], first.patches[i]) for i in range(len(images))]

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
            scale = parameters.scales[level]
            joined = self._vision([images[i] for i in few], scale, parameters, _rows(features, few))
            for row, i in enumerate(few):
                maps[i] = nearest_distances(joined[row], recipes[i].banks[level])
        # Grids differ where the few-shot features are finer than the aligned ones.
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
        language: (B,) probabilities of the whole pictures.
        language_map: (B, H, W) probabilities.
        vision_map: (B, H, W) distances, before the gain.
        few_shot: (B,) True where ``vision_map`` compares with references.

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
        zero = torch.lerp(language, pool_map(language_map, p.pool_fraction), p.zero_shot_image_map)
    few = torch.lerp(language, pool_map(vision, p.pool_fraction), p.few_shot_image_vision)
    scores = torch.where(few_shot, few, zero)
    if p.clip:
        scores, maps = scores.clamp(0.0, 1.0), maps.clamp(0.0, 1.0)
    return scores, maps
