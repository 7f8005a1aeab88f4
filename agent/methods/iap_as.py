"""``IapAs``: defect nouns to boxes, boxes to outlines, outlines to a score map (METHODS section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.domain.prompts import GENERIC_NOUN
from agent.domain.recipe import Recipe
from agent.methods.batching import combined_digest, fingerprint_of, require_references, score_by_parameters
from agent.methods.boxes import areas, clamp, select, suppress
from agent.methods.maps import FloatMap, inside
from agent.methods.parameters import override
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.registry import MethodModels, given
from agent.methods.tagging import ReproducibleTagger, drawn, object_tag
from agent.ports import Detections, Detector, Segmenter

ALWAYS_ASKED = ("abnormal", "defect")
"""Nouns that the authors append to those of the language model."""
PAPER_SIDE = 400
"""Side length in pixels of the authors' maps."""
_NAME_GRID = 64


@dataclass(frozen=True, slots=True)
class IapAsParameters:
    """The constants of IAP-AS; the defaults are the paper's for objects (0.1 and 0.1 for textures)."""

    box_threshold: float = 0.2
    text_threshold: float = 0.2
    overlap: float = 0.5
    """Of two boxes with a higher intersection over union the better one stays, whatever their phrases."""
    object_fraction: float = 0.8
    """A defect is strictly smaller than this share of the product's box."""
    ask_object: bool = True
    """Ask for the product beside the defects, so that its own box need not answer to a defect noun."""
    legacy_caption: bool = False
    """Join the product to the last defect noun by a comma, as the authors' implementation did."""
    tag_images: int = 10
    """A product without a noun is named by the tags of so many references."""
    tag_seed: int = 111
    """Seed of the draw of these references, if there are more."""
    tag_count: int = 10
    """Tags of one image, at most."""
    map_side: int = 1024
    """Frames with a longer side are outlined at this one."""
    paper_eval: bool = False
    """Stretch each frame's map to [0, 1] and to 400 x 400 as the authors did before they measured. Every
    frame with a box then scores 1: only for reproducing their table."""
    mask_threshold: float = 0.1
    """Pixels above this are defective if no calibration sets another threshold."""

    def __post_init__(self) -> None:
        if self.object_fraction <= 0.0:
            raise ValueError("object_fraction is above 0")
        if self.tag_images < 1 or self.tag_count < 1:
            raise ValueError("tag_images and tag_count are at least 1")
        if self.map_side < 32:
            raise ValueError("map_side is a side length of at least 32 pixels")


PRESET = IapAsParameters()


def build(models: MethodModels, parameters: IapAsParameters) -> IapAs:
    """The method over a detector and a segmenter, with a tagger if there is one."""
    return IapAs(given(models.detector), given(models.segmenter), parameters, tagger=models.tagger)


@dataclass(frozen=True, slots=True)
class IapAsPrepared(PreparedRecipe):
    """A recipe as IAP-AS needs it; its references set the threshold and name a product without a noun."""

    parameters: IapAsParameters
    noun: str
    """What the product is called: the recipe's noun, or its references' tag if that is generic."""
    phrases: tuple[str, ...]
    """What the detector is asked for."""
    names: tuple[str, ...]
    """The defects that regions can be named after, as channels of ``Scored.patches``."""

    def label(self, region: torch.Tensor) -> str | None:
        """The defect noun whose boxes weigh most in a region."""
        if not self.names or float(region.max()) <= 0.0:
            return None
        return self.names[int(region.argmax())]

    def lead(self, region: torch.Tensor) -> float:
        """By how much more its boxes weigh than those of the next defect noun."""
        best = region.topk(min(2, len(region))).values
        return float(best[0] - best[1]) if len(best) == 2 else float(best[0])

    @property
    def mask_threshold(self) -> float:
        return self.parameters.mask_threshold


class IapAs:
    """Zero-shot segmentation by open-vocabulary detection; the image score is the map's maximum."""

    def __init__(
        self,
        detector: Detector,
        segmenter: Segmenter,
        defaults: IapAsParameters | None = None,
        *,
        tagger: ReproducibleTagger | None = None,
    ) -> None:
        """``tagger`` names products whose recipe gives no noun; without one they are called "object"."""
        self._detector = detector
        self._segmenter = segmenter
        self._tagger = tagger
        self._defaults = defaults or IapAsParameters()

    @property
    def digest(self) -> str:
        return combined_digest(self._detector, self._segmenter)

    @property
    def fingerprint(self) -> str:
        tags = "" if self._tagger is None else self._tagger.digest
        return fingerprint_of(self.digest, self._defaults, tags)

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> IapAsPrepared:
        require_references(recipe, references)
        parameters = override(self._defaults, recipe.parameters)
        names = _names(recipe)
        noun = self._noun(recipe, references, parameters)
        return IapAsPrepared(recipe, parameters, noun, asked(names, noun, parameters), names)

    def _noun(self, recipe: Recipe, references: Sequence[Image], p: IapAsParameters) -> str:
        """The recipe's noun; if it is generic, the tag that the references agree on (METHODS 3.1)."""
        noun = recipe.noun.lower()
        if noun != GENERIC_NOUN or self._tagger is None or not references:
            return noun
        shown = [references[index] for index in drawn(len(references), p.tag_images, p.tag_seed)]

        def detect(images: Sequence[Image], phrases: Sequence[Sequence[str]]) -> list[Detections]:
            return self._detect(images, phrases, p)

        defects = {*ALWAYS_ASKED, *_names(recipe)}
        return object_tag(shown, self._tagger, detect, most=p.tag_count, without=defects) or noun

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        return score_by_parameters(images, prepared, IapAsPrepared, self._score_group)

    def _score_group(self, images: list[Image], recipes: list[IapAsPrepared]) -> list[Scored]:
        p = recipes[0].parameters
        anomalies = self._detect(images, [recipe.phrases for recipe in recipes], p)
        # The product's size only matters if there is a defect to compare it with.
        wanted = [i for i, each in enumerate(anomalies) if len(each.scores)]
        asked_for = [(recipes[i].noun,) for i in wanted]
        products = self._detect([images[i] for i in wanted], asked_for, p) if wanted else []
        by_frame = dict(zip(wanted, products, strict=True))
        scored = []
        for i, image in enumerate(images):
            kept = anomalies[i]
            if i in by_frame:
                kept = smaller_than_product(kept, by_frame[i], image.shape[:2], p.object_fraction)
            scored.append(self._scored(image, kept, recipes[i]))
        return scored

    def _detect(
        self, images: Sequence[Image], phrases: Sequence[Sequence[str]], p: IapAsParameters
    ) -> list[Detections]:
        found = self._detector.detect(
            images, phrases, box_threshold=p.box_threshold, text_threshold=p.text_threshold
        )
        return [suppress(each, p.overlap) for each in found]

    def _scored(self, image: Image, found: Detections, recipe: IapAsPrepared) -> Scored:
        p = recipe.parameters
        reduced, factor = _bounded(image, p.map_side)
        height, width = reduced.shape[:2]
        if not len(found.scores):
            return Scored(0.0, torch.zeros(height, width))
        boxes = clamp(found.boxes * np.float32(factor), width, height)
        masks = self._segmenter.segment(reduced, boxes)
        summed = score_map(masks, found.scores)
        if p.paper_eval:
            stretched = cv2.resize(min_max(summed), (PAPER_SIDE, PAPER_SIDE), interpolation=cv2.INTER_CUBIC)
            summed = np.asarray(stretched, dtype=np.float32)
        values = torch.from_numpy(np.ascontiguousarray(summed))
        named = _named_grid(masks, found, recipe.names)
        return Scored(float(inside(values, recipe.inspected).max()), values, named)


def _names(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's defect nouns, each once."""
    return tuple(dict.fromkeys(defect.name.lower() for defect in recipe.prompts.defects))


def asked(names: Sequence[str], noun: str, p: IapAsParameters) -> tuple[str, ...]:
    """What the detector is asked for: defect nouns, "abnormal", "defect" and the product."""
    nouns = tuple(dict.fromkeys([*names, *ALWAYS_ASKED]))
    if p.legacy_caption:
        return (*nouns[:-1], f"{nouns[-1]}, {noun}")
    return (*nouns, noun) if p.ask_object and noun not in nouns else nouns


def smaller_than_product(
    anomalies: Detections, products: Detections, shape: tuple[int, ...], fraction: float
) -> Detections:
    """The boxes strictly smaller than ``fraction`` of the highest-scoring product's area.

    If no product was found, the whole frame of (height, width) stands in for it.
    """
    product = float(shape[0] * shape[1])
    if len(products.scores):
        best = int(np.argmax(products.scores))
        product = float(areas(products.boxes[best : best + 1])[0])
    # Shares of one frame compare as areas in pixels do; at equality no rounding may decide.
    limit = fraction * product * (1.0 - 1e-9)
    return select(anomalies, areas(anomalies.boxes) < limit)


def score_map(masks: NDArray[np.bool_], scores: NDArray[np.float32]) -> FloatMap:
    """(H, W) sum of score times mask over the (n, H, W) masks: overlaps add up and may exceed 1."""
    summed = np.zeros(masks.shape[1:], dtype=np.float32)
    for mask, score in zip(masks, scores, strict=True):
        summed[mask] += np.float32(score)
    return summed


def min_max(values: FloatMap) -> FloatMap:
    """Stretched to [0, 1]; a constant map becomes zero."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), dtype=np.float32)


def _bounded(image: Image, side: int) -> tuple[Image, float]:
    """The image with its longer side at most ``side``, and the factor that boxes are scaled by."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= side:
        return image, 1.0
    factor = side / longer
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), factor


def _named_grid(masks: NDArray[np.bool_], found: Detections, names: tuple[str, ...]) -> torch.Tensor | None:
    """(64, 64, n) how much each defect noun covers a place, in place of features compared with words."""
    if not names:
        return None
    grid = torch.zeros(_NAME_GRID, _NAME_GRID, len(names))
    for mask, score, phrase in zip(masks, found.scores, found.phrases, strict=True):
        name = _name_in(phrase.lower(), names)
        if name is not None:
            covered = torch.from_numpy(mask.astype(np.float32))[None, None]
            share = F.interpolate(covered, size=(_NAME_GRID, _NAME_GRID), mode="area")[0, 0]
            grid[..., name] += float(score) * share
    return grid


def _name_in(phrase: str, names: tuple[str, ...]) -> int | None:
    """The longest defect noun that a phrase holds, or that holds the phrase: tokens may be left out."""
    candidates = [i for i, name in enumerate(names) if name in phrase or (phrase and phrase in name)]
    return max(candidates, key=lambda i: len(names[i]), default=None)
