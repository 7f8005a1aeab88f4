"""``evaluate``: a method on a dataset; references are drawn, every test image is scored, figures summed
up."""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adapters.evaluation.dataset import Category, Sample
from adapters.evaluation.draw import DRAWS
from adapters.evaluation.maps import MapStore, Mask, read_mask, resize_mask
from adapters.evaluation.metrics import BYTE, FINE, PixelHistogram, Scale, image_metrics
from adapters.evaluation.protocol import PROTOCOLS, Map, Protocol
from agent.domain.errors import ConfigurationError, ModelError, RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.inference.inspector import Inspector
from agent.methods.prepared import Prepared

Figures = Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of an evaluation."""

    method: str
    shots: int = 0
    seeds: tuple[int, ...] = (0,)
    batch: int = 8
    nouns: Mapping[str, str] = field(default_factory=dict)
    """A category's noun for the prompts, before the dataset's own word for it and its name."""
    prompts: Callable[[str], PromptSet] | None = None
    """Prompts for a noun, in place of the compositional ensemble."""
    draw: str = "fade"
    """Whose reference draw; see :data:`adapters.evaluation.draw.DRAWS`."""
    protocol: Protocol = PROTOCOLS["exact"]


@dataclass(frozen=True, slots=True)
class Run:
    """One category under one draw of references, while its maps are still at hand."""

    category: Category
    seed: int
    samples: tuple[Sample, ...]
    """The images that were scored; drawn references are not among them."""
    scores: NDArray[np.float64]
    maps: MapStore | None
    """One map for each sample, as the protocol keeps them; None if the method has none."""
    protocol: Protocol
    figures: Figures
    pixel_threshold: float | None
    """The value of the map at the highest pixel F1; None without masks."""
    notes: tuple[str, ...] = ()
    """What was left out, a sentence each."""

    def map(self, index: int) -> Map | None:
        """The map of one sample at (size, size)."""
        return None if self.maps is None else self.protocol.enlarge(self.maps[index])

    def truth(self, index: int) -> Mask | None:
        """The mask of one sample at (size, size); None if the dataset has none."""
        return _truth(self.samples[index], self.protocol)


class Observer(typing.Protocol):
    """Learns of progress and results as they come."""

    def scored(self, category: Category, seed: int, done: int, total: int) -> None:
        """``done`` of ``total`` images of a run are scored."""
        ...

    def finished(self, run: Run) -> None:
        """A run is through; its maps are gone after this call."""
        ...


def evaluate(
    inspector: Inspector,
    categories: Sequence[Category],
    options: Options,
    load: Callable[[Path], Image],
    observer: Observer | None = None,
) -> dict[str, list[Figures]]:
    """Figures of every category, one entry for each seed (one alone without references).

    Args:
        load: reads an image file as RGB. Raises what it raises.

    Raises:
        ConfigurationError: a category has too few good images for a draw, or a mask is unreadable.
        ModelError: the method gave a score or a map that is not a number.
        RecipeError: the method cannot score without references.
    """
    seeds = options.seeds if options.shots else (0,)
    drawn = {(one.name, seed): _drawn(one, options, seed) for one in categories for seed in seeds}
    figures: dict[str, list[Figures]] = {}
    for category in categories:
        for seed in seeds:
            references = drawn[category.name, seed]
            run = _Running(inspector, category, options, seed, references, load, observer)
            figures.setdefault(category.name, []).append(run.figures())
    return figures


def _drawn(category: Category, options: Options, seed: int) -> tuple[Path, ...]:
    """The references of a seed, before anything costs time. Raises ConfigurationError."""
    if options.shots == 0:
        return ()
    try:
        indices = DRAWS[options.draw](len(category.train), options.shots, seed)
    except ValueError as error:
        raise ConfigurationError(f"category {category.name!r}: {error}") from error
    return tuple(category.train[index] for index in indices)


class _Running:
    """One category under one draw, while it is measured."""

    def __init__(
        self,
        inspector: Inspector,
        category: Category,
        options: Options,
        seed: int,
        references: tuple[Path, ...],
        load: Callable[[Path], Image],
        observer: Observer | None,
    ) -> None:
        self._inspector, self._options, self._load, self._observer = inspector, options, load, observer
        self._category, self._seed, self._references = category, seed, references
        taken = set(references)
        self._samples = tuple(sample for sample in category.test if sample.path not in taken)
        self._scores: list[float] = []
        self._notes: list[str] = []

    def figures(self) -> Figures:
        with MapStore() as store:
            elapsed = self._score(store)
            maps = store if len(store) == len(self._samples) else None  # some methods have no map
            truth = np.array([sample.defect is not None for sample in self._samples], dtype=bool)
            scores = np.array(self._scores, dtype=np.float64)
            figures: dict[str, float | int | None] = dict(image_metrics(truth, scores).as_dict())
            pixels, threshold = self._pixels(maps)
            figures |= pixels
            figures["ms_per_image"] = elapsed * 1000.0 / max(1, len(self._samples))
            left_out = len(self._category.test) - len(self._samples)
            if left_out:
                self._notes.append(f"{left_out} drawn references are left out of the test")
            run = Run(
                category=self._category,
                seed=self._seed,
                samples=self._samples,
                scores=scores,
                maps=maps,
                protocol=self._options.protocol,
                figures=figures,
                pixel_threshold=threshold,
                notes=tuple(self._notes),
            )
            if self._observer is not None:
                self._observer.finished(run)
            return figures

    def _score(self, maps: MapStore) -> float:
        """Score all images; the seconds that the method took."""
        prepared, total, elapsed = self._prepare(), len(self._samples), 0.0
        for start in range(0, total, self._options.batch):
            chunk = self._samples[start : start + self._options.batch]
            images = [self._load(sample.path) for sample in chunk]
            begun = time.perf_counter()
            scored = self._inspector.score(images, [prepared] * len(images))
            elapsed += time.perf_counter() - begun
            for sample, one in zip(chunk, scored, strict=True):
                if one.lacking is not None:
                    raise RecipeError(one.lacking)
                values = None
                if one.anomaly_map is not None:
                    values = one.anomaly_map.detach().cpu().float().numpy()
                if not np.isfinite(one.score) or (values is not None and not np.isfinite(values).all()):
                    raise ModelError(f"the method's score or map of {sample.path} is not a number")
                self._scores.append(float(one.score))
                if values is not None:
                    maps.append(self._options.protocol.shrink(values))
            if self._observer is not None:
                self._observer.scored(self._category, self._seed, start + len(chunk), total)
        return elapsed

    def _prepare(self) -> Prepared:
        options, name = self._options, self._category.name
        noun = options.nouns.get(name) or self._category.noun or name
        noun = noun.replace("_", " ")
        recipe: Recipe = template_recipe(name, options.method, noun)
        recipe = replace(recipe, parameters=options.protocol.parameters.get(options.method, {}))
        if options.prompts is not None:
            recipe = replace(recipe, prompts=options.prompts(noun))
        references = tuple(Reference("", str(path), path.name) for path in self._references)
        recipe = replace(recipe, references=references)
        return self._inspector.prepare(recipe, [self._load(path) for path in self._references])

    def _pixels(self, maps: MapStore | None) -> tuple[dict[str, float], float | None]:
        """Pixel figures of the images whose truth is known, and the threshold of the highest F1."""
        if maps is None or not any(sample.mask is not None for sample in self._samples):
            return {}, None
        protocol = self._options.protocol
        levels = BYTE if protocol.byte_maps else FINE
        known = [sample.defect is None or sample.mask is not None for sample in self._samples]
        counted = [
            index
            for index, sample in enumerate(self._samples)
            if known[index] and (sample.defect is not None or protocol.good_pixels)
        ]
        scale, histogram = Scale(*maps.extremes(counted)), PixelHistogram(levels)
        for index in counted:
            truth = _truth(self._samples[index], protocol)
            if truth is not None:
                histogram.add(scale.levels(protocol.enlarge(maps[index])), truth)
        unknown = known.count(False)
        if unknown:
            self._notes.append(f"{unknown} defective images have no mask and are left out of the pixels")
        metrics, best = histogram.metrics(), histogram.best_level()
        if metrics is None or best is None:
            return {}, None
        figures = metrics.as_dict()
        if protocol.thresholds is not None:
            # Rounded as the values are: one that lies on a threshold is positive.
            even = np.rint(np.linspace(0.0, levels - 1, protocol.thresholds))
            figures["pixel_f1max"] = histogram.f1_at(even)
        return figures, scale.value(best, levels)


def _truth(sample: Sample, protocol: Protocol) -> Mask | None:
    if sample.mask is not None:
        mask = read_mask(sample.mask, above=protocol.mask_above)
        return resize_mask(mask, protocol.size, smooth=protocol.smooth_masks)
    return None if sample.defect is not None else np.zeros((protocol.size, protocol.size), dtype=bool)
