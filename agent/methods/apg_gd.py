"""``ApgGd``: the detected product and the whole frame, fused and compared with words (METHODS section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.batching import combined_digest, fingerprint_of, require_references, score_by_parameters
from agent.methods.boxes import clamp, suppress
from agent.methods.language import Vocabulary, Words, anomaly_probability, logit_scale
from agent.methods.parameters import override
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.methods.registry import MethodModels, given
from agent.ports import Detections, Detector, ImageTextEncoder

_SMALLEST = 2
"""A crop has at least so many pixels a side."""
_BATCH = 32
"""Images embedded in one pass: a frame may have many crops."""


@dataclass(frozen=True, slots=True)
class ApgGdParameters:
    """The constants of APG-GD. The paper leaves most of them open: the detector's are its library's."""

    size: int = 240
    """Side length in pixels that frames and crops are resized to, all of their content kept."""
    box_threshold: float = 0.35
    text_threshold: float = 0.25
    overlap: float = 0.5
    """Of two boxes with a higher intersection over union the better one stays."""
    most_crops: int = 8
    """The best so many boxes are cropped."""
    score: str = "ratio"
    """``ratio``: equation 4, cosine to anomalous over the sum of both; ``softmax``: as FADE and WinCLIP."""
    smallest_cosine: float = 1e-6
    """Cosines are raised to this in the ratio, which means nothing at zero and below."""
    temperature: float = 0.0
    """Of ``softmax``; 0: the one that the model was trained with, which for
    CLIP is the paper's 0.01."""
    product_weight: float = 0.5
    """Weight of the crops in the fused embedding; the whole frame has the rest."""
    wrap_prompt: bool = False
    """Put prompts into "a photo of a ..."."""

    def __post_init__(self) -> None:
        if self.score not in ("ratio", "softmax"):
            raise ValueError(f"score is 'ratio' or 'softmax', not {self.score!r}")
        if self.size < 32:
            raise ValueError("size is a side length of at least 32 pixels")
        if self.most_crops < 1:
            raise ValueError("most_crops is at least 1")
        if self.temperature < 0.0:
            raise ValueError("temperature is above 0, or 0 for the model's own")
        if not 0.0 <= self.product_weight <= 1.0:
            raise ValueError("product_weight is a weight, 0 to 1")
        if self.smallest_cosine <= 0.0:
            raise ValueError("smallest_cosine is above 0")


PRESET = ApgGdParameters()


def build(models: MethodModels, parameters: ApgGdParameters) -> ApgGd:
    """The method over a vision-language model and a detector."""
    return ApgGd(given(models.encoder), given(models.detector), parameters)


@dataclass(frozen=True, slots=True)
class ApgGdPrepared(PreparedRecipe):
    """A recipe as APG-GD needs it. There is no map, hence no region to name."""

    parameters: ApgGdParameters
    words: Words


class ApgGd:
    """Image scores alone; the paper has no segmentation."""

    def __init__(
        self, encoder: ImageTextEncoder, detector: Detector, defaults: ApgGdParameters | None = None
    ) -> None:
        self._encoder = encoder
        self._detector = detector
        self._defaults = defaults or ApgGdParameters()
        self._vocabulary = Vocabulary(encoder)

    @property
    def digest(self) -> str:
        return combined_digest(self._encoder, self._detector)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.digest, self._defaults)

    @torch.inference_mode()
    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> ApgGdPrepared:
        require_references(recipe, references)
        parameters = override(self._defaults, recipe.parameters)
        words = self._vocabulary.words(recipe.prompts, wrap=parameters.wrap_prompt)
        return ApgGdPrepared(recipe, parameters, words)

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        return score_by_parameters(images, prepared, ApgGdPrepared, self._score_group)

    def _score_group(self, images: list[Image], recipes: list[ApgGdPrepared]) -> list[Scored]:
        p = recipes[0].parameters
        nouns = [(recipe.recipe.noun,) for recipe in recipes]
        found = self._detector.detect(
            images, nouns, box_threshold=p.box_threshold, text_threshold=p.text_threshold
        )
        crops = [
            crops_of(image, suppress(each, p.overlap), p.most_crops)
            for image, each in zip(images, found, strict=True)
        ]
        embedded = self._embedded([*images, *(crop for each in crops for crop in each)], p.size)
        whole, rest = embedded[: len(images)], embedded[len(images) :]
        scored = []
        for i, products in enumerate(rest.split([len(each) for each in crops])):
            fused = fuse(whole[i], products, p.product_weight)
            scored.append(Scored(self._scored(fused, recipes[i].words, p)))
        return scored

    def _embedded(self, images: Sequence[Image], size: int) -> torch.Tensor:
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return torch.cat([self._encoder.encode_images(batch, size).image for batch in batches])

    def _scored(self, fused: torch.Tensor, words: Words, p: ApgGdParameters) -> float:
        normal = F.normalize(words.normal, dim=0).to(fused)
        anomalous = F.normalize(words.anomalous, dim=0).to(fused)
        if p.score == "softmax":
            scale = logit_scale(self._encoder, p.temperature)
            return float(anomaly_probability(fused, anomalous - normal, scale))
        return ratio(float(fused @ anomalous), float(fused @ normal), p.smallest_cosine)


def crops_of(image: Image, detections: Detections, most: int) -> list[Image]:
    """The pixels of the best boxes; the whole image if no box has an area."""
    height, width = image.shape[:2]
    boxes: NDArray[np.float32] = clamp(detections.boxes, width, height)
    crops = []
    for x0, y0, x1, y1 in boxes[:most]:
        left, top, right, bottom = int(x0), int(y0), int(np.ceil(x1)), int(np.ceil(y1))
        if right - left >= _SMALLEST and bottom - top >= _SMALLEST:
            crops.append(image[top:bottom, left:right])
    return crops or [image]


def fuse(whole: torch.Tensor, products: torch.Tensor, weight: float = 0.5) -> torch.Tensor:
    """(D,) the frame's embedding with ``weight`` of the mean of its products' (n, D), of unit length.

    The paper leaves open what is normalised: here every embedding is before it is averaged.
    """
    product = F.normalize(products.mean(dim=0), dim=0)
    return F.normalize(torch.lerp(whole, product, weight), dim=0)


def ratio(anomalous: float, normal: float, smallest: float) -> float:
    """Equation 4: e.t_a / (e.t_a + e.t_n), both cosines raised to ``smallest``."""
    anomalous, normal = max(anomalous, smallest), max(normal, smallest)
    return anomalous / (anomalous + normal)
