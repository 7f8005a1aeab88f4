"""``Sightline``, the default method: locate the product, score it and the whole frame, outline what is found.

Scores are FADE's arithmetic with some other constants (METHODS 8.3 and 11.1):

- Scores are not clipped: a threshold is calibrated for each recipe, and clipping would tie the worst defects.
- Prompts are used as written, and the largest scale is left out.
- A map is summed up by the mean of its highest 1 % of pixels, which a single hot pixel does not move
  (AnomalyDINO).

FADE's authors evidently tuned the other constants (80, 3.5, 0.5 and 0.85; METHODS 1.4) on their test data:
they name no validation split. Figures on the same benchmarks, theirs and ours, profit from that choice.

If a detector is configured and the product has a noun, its crop is scored like the frame, against crops of
the references, and each counts half (APG-GD; METHODS 4). If a segmenter is configured, the regions of a
suspicious frame get their outlines from it (IAP-AS; METHODS 3).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self, overload

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.domain.prompts import GENERIC_NOUN
from agent.domain.recipe import Recipe
from agent.methods.batching import combined_digest, fingerprint_of, score_by_parameters
from agent.methods.boxes import clamp
from agent.methods.fade import SCORING, Fade, FadeParameters, FadePrepared
from agent.methods.maps import FloatMap, Region, regions, to_pixels
from agent.methods.memory import MemoryBank
from agent.methods.memory_state import memory_digest
from agent.methods.parameters import override
from agent.methods.prepared import Groups, Prepared, Scored
from agent.methods.registry import MethodModels, given
from agent.ports import Detector, ImageTextEncoder, PatchEncoder, Segmenter

_SPECK = 0.02
"""An outline of less than this share of its region is noise."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True, slots=True)
class SightlineParameters(FadeParameters):
    """FADE's constants, and those of locating and outlining."""

    locate: bool = True
    """Score the product's crop as well, if a detector is configured and the noun is not generic."""
    box_threshold: float = 0.35
    text_threshold: float = 0.25
    product_weight: float = 0.5
    """Weight of the crop in score and map; the frame has the rest."""
    product_margin: float = 0.05
    """The crop is so much larger than the box, as a share of each side: defects sit at edges too."""
    outline: bool = True
    """Outline regions with the segmenter, if one is configured."""
    outline_side: int = 1024
    """Frames with a longer side are outlined at this one."""
    outline_inside: float = 0.5
    """An outline with less than this share inside of its region is the product's, not the defect's."""

    def __post_init__(self) -> None:
        FadeParameters.__post_init__(self)
        if not 0.0 <= self.product_weight <= 1.0:
            raise ValueError("product_weight is a weight, 0 to 1")
        if self.product_margin < 0.0 or self.outline_side < 32:
            raise ValueError("product_margin is not negative and outline_side at least 32 pixels")
        if not 0.0 <= self.outline_inside <= 1.0:
            raise ValueError("outline_inside is a share of the outline, 0 to 1")


PRESET = SightlineParameters(
    scales=(240, 448),
    pool_fraction=0.01,
    few_shot_image_vision=0.85,
    clip=False,
    wrap_prompt=False,
)


def build(models: MethodModels, parameters: SightlineParameters) -> Fade | Sightline:
    """The method over the models that are configured; with neither a detector nor a segmenter it is FADE."""
    encoder, backbone = given(models.encoder), models.backbone
    if models.detector is None and models.segmenter is None:
        return Fade(encoder, backbone, parameters)
    return Sightline(encoder, backbone, models.detector, models.segmenter, parameters)


@dataclass(frozen=True, slots=True)
class SightlinePrepared(FadePrepared):
    """A recipe as FADE needs it for the whole frame, and once more for the located product."""

    parameters: SightlineParameters
    product: FadePrepared | None = None
    """With the crops of the references in memory; None if the product is not located."""

    @property
    def complete(self) -> bool:
        return all(bank.complete for bank in self.banks) and (self.product is None or self.product.complete)

    def without(self, references: Collection[int]) -> Self:
        frame = FadePrepared.without(self, references)  # a class with slots has no plain super()
        product = None if self.product is None else self.product.without(references)
        return replace(frame, product=product)

    def without_groups(self) -> Self:
        frame = FadePrepared.without_groups(self)
        return replace(frame, product=None if self.product is None else self.product.without_groups())

    @property
    def memory(self) -> tuple[MemoryBank, ...]:
        return self.banks if self.product is None else (*self.banks, *self.product.banks)

    def with_memory(self, recipe: Recipe, banks: Sequence[MemoryBank]) -> Self:
        frame, product = banks[: len(self.parameters.scales)], banks[len(self.parameters.scales) :]
        located = None if self.product is None else self.product.with_memory(recipe, product)
        return replace(FadePrepared.with_memory(self, recipe, frame), product=located)


class Sightline:
    """FADE on the frame and on the located product, outlined; with neither model it is FADE alone."""

    def __init__(
        self,
        encoder: ImageTextEncoder,
        backbone: PatchEncoder | None = None,
        detector: Detector | None = None,
        segmenter: Segmenter | None = None,
        defaults: SightlineParameters = PRESET,
    ) -> None:
        self._fade = Fade(encoder, backbone, defaults)
        self._detector = detector
        self._segmenter = segmenter
        self._defaults = defaults

    @property
    def digest(self) -> str:
        """Of every model that takes part in scores; outlines come after the threshold."""
        return combined_digest(self._fade, self._detector)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.digest, self._fade.fingerprint)

    def memory_key(self, recipe: Recipe) -> str:
        if not self._locates(recipe):
            return self._fade.memory_key(recipe)
        parameters, drawing = override(self._defaults, recipe.parameters), {"product_weight", "outline"}
        without = SCORING | drawing | {"outline_side", "outline_inside"}
        return memory_digest(
            self.digest, parameters, without, bool(parameters.spread_weight), recipe.noun.lower()
        )

    def orientations(self, recipe: Recipe) -> tuple[float, ...]:
        return override(self._defaults, recipe.parameters).angles

    def comparing(self, recipe: Recipe) -> Recipe:
        return self._fade.comparing(recipe)

    def reference_side(self, recipe: Recipe) -> int | None:
        """A located product may be a small part of the image: then every pixel counts."""
        return None if self._locates(recipe) else self._fade.reference_side(recipe)

    def _locates(self, recipe: Recipe) -> bool:
        parameters = override(self._defaults, recipe.parameters)
        return self._detector is not None and parameters.locate and recipe.noun.lower() != GENERIC_NOUN

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> SightlinePrepared:
        parameters = override(self._defaults, recipe.parameters)
        frame = self._fade.prepare(recipe, references, groups)
        product = None
        if self._locates(recipe):
            # One image at a time: enrollment runs beside inspection.
            boxes = [self._locate([image], [recipe.noun], parameters)[0] for image in references]
            product = self._fade.prepare(recipe, Crops(references, boxes), groups)
        return SightlinePrepared(recipe, parameters, frame.words, frame.map_words, frame.banks, product)

    @torch.inference_mode()
    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        return score_by_parameters(images, prepared, SightlinePrepared, self._score_group)

    def _score_group(self, images: list[Image], recipes: list[SightlinePrepared]) -> list[Scored]:
        p = recipes[0].parameters
        located = [i for i, recipe in enumerate(recipes) if recipe.product is not None]
        boxes = self._locate([images[i] for i in located], [recipes[i].recipe.noun for i in located], p)
        crops = [cropped(images[i], box) for i, box in zip(located, boxes, strict=True)]
        products = [recipe.product for recipe in recipes if recipe.product is not None]
        scored = self._fade.score([*images, *crops], [*recipes, *products])
        frames, rest = scored[: len(images)], scored[len(images) :]
        for i, box, product in zip(located, boxes, rest, strict=True):
            frames[i] = blend(frames[i], product, box, images[i].shape[:2], p.product_weight)
        return [
            self._outlined(image, one, recipe)
            for image, one, recipe in zip(images, frames, recipes, strict=True)
        ]

    def _locate(self, images: Sequence[Image], nouns: Sequence[str], p: SightlineParameters) -> list[Box]:
        """The best box of each image with its margin; the whole image if there is none."""
        if self._detector is None or not images:
            return []
        found = self._detector.detect(
            images,
            [(noun,) for noun in nouns],
            box_threshold=p.box_threshold,
            text_threshold=p.text_threshold,
        )
        return [
            product_box(each.boxes[int(np.argmax(each.scores))] if len(each.scores) else None, image, p)
            for image, each in zip(images, found, strict=True)
        ]

    def _outlined(self, image: Image, scored: Scored, recipe: SightlinePrepared) -> Scored:
        """The map with the segmenter's outlines, if the frame is suspicious and there is a map threshold."""
        p, calibration = recipe.parameters, recipe.recipe.calibration
        if self._segmenter is None or not p.outline or scored.anomaly_map is None:
            return scored
        if calibration is None or calibration.map_threshold is None:
            return scored
        if scored.score <= calibration.review_below:
            return scored
        outlined = outline(image, scored.anomaly_map, calibration.map_threshold, self._segmenter, p)
        return replace(scored, anomaly_map=outlined)


def product_box(box: NDArray[np.float32] | None, image: Image, p: SightlineParameters) -> Box:
    """A box with its margin inside the image; the whole image for none and for one without an area."""
    height, width = image.shape[:2]
    if box is None:
        return 0, 0, width, height
    x0, y0, x1, y1 = (float(side) for side in box)
    across, down = p.product_margin * (x1 - x0), p.product_margin * (y1 - y0)
    grown = np.array([[x0 - across, y0 - down, x1 + across, y1 + down]], dtype=np.float32)
    left, top, right, bottom = (float(side) for side in clamp(grown, width, height)[0])
    inside = (int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom)))
    if inside[2] - inside[0] < 2 or inside[3] - inside[1] < 2:
        return 0, 0, width, height
    return inside


class Crops(Sequence[Image]):
    """The pixels inside the box of each image, cut out when they are asked for: not all images are held."""

    def __init__(self, images: Sequence[Image], boxes: Sequence[Box]) -> None:
        self._images = images
        self._boxes = boxes

    def __len__(self) -> int:
        return len(self._boxes)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Crops: ...
    def __getitem__(self, index: int | slice) -> Image | Crops:
        if isinstance(index, slice):
            return Crops(self._images[index], self._boxes[index])
        return cropped(self._images[index], self._boxes[index])


def cropped(image: Image, box: Box) -> Image:
    """The pixels inside a box."""
    x0, y0, x1, y1 = box
    return image[y0:y1, x0:x1]


def blend(frame: Scored, product: Scored, box: Box, shape: tuple[int, ...], weight: float) -> Scored:
    """The frame's score and map blended with the product's; outside its box the map is the frame's."""
    score = (1.0 - weight) * frame.score + weight * product.score
    if frame.anomaly_map is None or product.anomaly_map is None:
        return replace(frame, score=score)
    height, width = shape[:2]
    rows, columns = (2 * side for side in frame.anomaly_map.shape)  # the crop's map is the finer one
    whole = _resized(frame.anomaly_map, rows, columns)
    top, bottom = _span(box[1], box[3], rows / height, rows)
    left, right = _span(box[0], box[2], columns / width, columns)
    inside = _resized(product.anomaly_map, bottom - top, right - left)
    whole[top:bottom, left:right] = torch.lerp(whole[top:bottom, left:right], inside, weight)
    return replace(frame, score=score, anomaly_map=whole)


def _span(start: int, stop: int, factor: float, most: int) -> tuple[int, int]:
    first = min(round(start * factor), most - 1)
    return first, max(first + 1, min(round(stop * factor), most))


def _resized(anomaly_map: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    planes = anomaly_map[None, None]
    return F.interpolate(planes, size=(rows, columns), mode="bilinear", align_corners=False)[0, 0]


def outline(
    image: Image, anomaly_map: torch.Tensor, threshold: float, segmenter: Segmenter, p: SightlineParameters
) -> torch.Tensor:
    """The (H, W) map whose regions above ``threshold`` take the segmenter's outlines.

    A region is asked for by its box and its highest pixel. Maps are coarse, so a defect's outline lies
    inside of its region; one that mostly does not is the product's and is not believed, nor is a speck. A
    believed outline gets the region's highest value, and the rest of what was above the threshold around
    it falls below.
    """
    height, width = image.shape[:2]
    factor = min(1.0, p.outline_side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    reduced = image
    if factor < 1.0:
        reduced = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    pixels = to_pixels(anomaly_map, *size)
    labels, found = regions(pixels, threshold, minimum_area=0.0002, most=16, outline=0.5)
    if not found:
        return anomaly_map
    boxes = np.array([_corners(region) for region in found], dtype=np.float32)
    points = np.array([_peak(pixels, labels == i) for i in range(1, len(found) + 1)], dtype=np.float32)
    masks = segmenter.segment(reduced, boxes, points)
    _, components = cv2.connectedComponents((pixels > threshold).astype(np.uint8), connectivity=8)
    below = np.nextafter(np.float32(threshold), np.float32(-np.inf))  # 32 bits may round a threshold up
    refined = pixels.copy()
    for index, (region, mask) in enumerate(zip(found, masks, strict=True), start=1):
        size_px = int(mask.sum())
        inside = int((mask & (labels == index)).sum())
        if inside < p.outline_inside * size_px or size_px < _SPECK * region.area_px:
            continue
        x, y = points[index - 1].astype(int)
        refined[(components == components[y, x]) & ~mask] = below
        refined[mask] = np.maximum(refined[mask], np.float32(region.score))
    return torch.from_numpy(refined)


def _corners(region: Region) -> tuple[int, int, int, int]:
    x, y, w, h = region.bbox
    return x, y, x + w, y + h


def _peak(pixels: FloatMap, inside: NDArray[np.bool_]) -> tuple[int, int]:
    y, x = np.unravel_index(int(np.where(inside, pixels, -np.inf).argmax()), pixels.shape)
    return int(x), int(y)
