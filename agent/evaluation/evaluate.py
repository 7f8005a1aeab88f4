"""A method on a dataset: draw references, score every test picture, summarise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.cabinet import generic_recipe
from agent.evaluation.dataset import Category, Sample
from agent.evaluation.draw import draw_references
from agent.evaluation.metrics import image_metrics, pixel_auroc
from agent.frame import Image
from agent.inspector import Inspector
from agent.methods.maps import to_pixels
from agent.methods.method import Prepared
from agent.recipe import Recipe, Reference

MAP_SIZE = 256
"""Maps and masks are compared at this side length, in pixels."""

Figures = Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of an evaluation."""

    method: str
    shots: int = 0
    seeds: tuple[int, ...] = (0,)
    batch: int = 8
    nouns: Mapping[str, str] = field(default_factory=dict)
    """A category's noun for the prompts; its name where none is given."""


Progress = Callable[[str, int, int], None]
"""Called with (category, done, total)."""


def evaluate(
    inspector: Inspector,
    categories: Sequence[Category],
    options: Options,
    load: Callable[[Path], Image],
    progress: Progress = lambda category, done, total: None,
) -> dict[str, list[Figures]]:
    """Figures of every category, one entry for each seed.

    Args:
        load: reads a picture file as RGB. Raises what it raises.
    """
    return {
        category.name: [
            _run(inspector, category, options, seed, load, progress)
            for seed in (options.seeds if options.shots else (0,))
        ]
        for category in categories
    }


def mean_of(figures: Sequence[Figures]) -> dict[str, float | None]:
    """The mean of each figure over those that have it."""
    return {key: _mean([one.get(key) for one in figures]) for key in _keys(figures)}


def deviation_of(figures: Sequence[Figures]) -> dict[str, float | None]:
    """The sample deviation of each figure; None with fewer than two."""
    result: dict[str, float | None] = {}
    for key in _keys(figures):
        values = [float(value) for one in figures if (value := one.get(key)) is not None]
        result[key] = stdev(values) if len(values) > 1 else None
    return result


def _keys(figures: Sequence[Figures]) -> list[str]:
    return list(dict.fromkeys(key for one in figures for key in one))


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None


def _run(
    inspector: Inspector,
    category: Category,
    options: Options,
    seed: int,
    load: Callable[[Path], Image],
    progress: Progress,
) -> Figures:
    prepared = _prepare(inspector, category, options, seed, load)
    scores: list[float] = []
    maps: list[NDArray[np.float32]] = []
    elapsed = 0.0
    for start in range(0, len(category.test), options.batch):
        chunk = category.test[start : start + options.batch]
        images = [load(sample.path) for sample in chunk]
        begun = time.perf_counter()
        scored = inspector.score(images, [prepared] * len(images))
        elapsed += time.perf_counter() - begun
        scores += [one.score for one in scored]
        maps += [
            to_pixels(one.anomaly_map, MAP_SIZE, MAP_SIZE) for one in scored if one.anomaly_map is not None
        ]
        progress(category.name, start + len(chunk), len(category.test))
    truth = np.array([sample.defect is not None for sample in category.test])
    figures: dict[str, float | int | None] = dict(image_metrics(truth, np.array(scores)).as_dict())
    if maps and all(sample.mask is not None for sample in category.test if sample.defect is not None):
        masks = np.stack([_mask(sample, load) for sample in category.test])
        figures["pixel_auroc"] = pixel_auroc(masks, np.stack(maps).astype(np.float64))
    figures["ms_per_image"] = elapsed * 1000.0 / max(1, len(category.test))
    return figures


def _prepare(
    inspector: Inspector, category: Category, options: Options, seed: int, load: Callable[[Path], Image]
) -> Prepared:
    noun = options.nouns.get(category.name, category.name)
    recipe = generic_recipe(category.name, options.method, noun)
    if options.shots == 0:
        return inspector.method.prepare(recipe, ())
    chosen = [category.train[index] for index in draw_references(len(category.train), options.shots, seed)]
    references = tuple(Reference("", str(path), path.name) for path in chosen)
    recipe = Recipe(recipe.sku, recipe.noun, recipe.prompts, recipe.method, references=references)
    return inspector.method.prepare(recipe, [load(path) for path in chosen])


def _mask(sample: Sample, load: Callable[[Path], Image]) -> NDArray[np.bool_]:
    """The truth at MAP_SIZE: antialiased and cut at one half (METHODS 0.3); all False where good."""
    if sample.mask is None:
        return np.zeros((MAP_SIZE, MAP_SIZE), dtype=bool)
    defective = (load(sample.mask).max(axis=2) > 0).astype(np.float32)
    resized = cv2.resize(defective, (MAP_SIZE, MAP_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(resized > 0.5, dtype=bool)
