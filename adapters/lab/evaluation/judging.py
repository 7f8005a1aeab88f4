"""``AsTheAgent``: the bundled model with the method, parameters and words of the embedded profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from adapters.evaluation.metrics import PixelHistogram, Scale
from adapters.lab.evaluation.trials import Sample, Trial
from agent.app.options import orientation_policy
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.enrollment.enroll import decide_angles
from agent.enrollment.orientation import OrientationPolicy
from agent.inference.inspector import Inspector
from agent.methods import Method, Prepared, Scored, build_method
from agent.methods.maps import pool_map
from agent.ports import ImageFeatures, ImagePass, ImageSize, ImageTextEncoder
from config import Settings, load

AGENT = "agent"


@cache
def _settings() -> Settings:
    return load(profile="embedded").settings


def _inspection() -> tuple[str, dict[str, Any]]:
    chosen = _settings().inspection
    return chosen.method, dict(chosen.parameters.get(chosen.method, {}))


def pose_in_force() -> OrientationPolicy:
    """How the embedded profile finds out how parts lie, and in how many directions it memorises them."""
    chosen = orientation_policy(_settings())
    if chosen is None:
        raise ConfigurationError("the embedded profile names angles; `references.rotations` has to be auto")
    return chosen


def parameters_in_force() -> dict[str, Any]:
    """Method, parameters and directions of the embedded profile, for the report."""
    method, parameters = _inspection()
    return {"method": method, **parameters, "directions": pose_in_force().directions}


def side_in_force() -> int:
    """Side in pixels that the embedded profile's method scales frames to, the first if there are more."""
    return int(_inspection()[1]["scales"][0])


def method_of(encoder: ImageTextEncoder) -> Method:
    """The embedded profile's method over an encoder."""
    name, parameters = _inspection()
    return build_method(name, encoder, parameters=parameters)


def recipe_of(sku: str, noun: str) -> Recipe:
    """The recipe that any product has before anybody knew better."""
    return template_recipe(sku, _inspection()[0], noun)


def memorised(method: Method, plain: Recipe, images: Sequence[Image]) -> Prepared:
    """A recipe with references as enrollment memorises them: turned if parts lie loosely."""
    names = tuple(Reference("", str(index), str(index)) for index in range(len(images)))
    draft = replace(plain, references=names)
    return method.prepare(decide_angles(Inspector(method), draft, images, pose_in_force()), images)


def scored(method: Method, images: Sequence[Image], recipes: Sequence[Prepared]) -> list[list[Scored]]:
    """For each recipe the method's scores of each image; images go through the model once."""
    every = method.score(
        [image for _ in recipes for image in images], [recipe for recipe in recipes for _ in images]
    )
    return [every[start : start + len(images)] for start in range(0, len(every), len(images))]


class AsTheAgent:
    """Zero-shot and few-shot scores of the agent's method, and the pixels of its maps."""

    def __init__(self, encoder: ImageTextEncoder, title: str = AGENT, *, pixels: bool = False) -> None:
        self._method, self._title, self._pixels = method_of(encoder), title, pixels

    def ready(self, trial: Trial) -> _Judge:
        """Memorise the trial's references as enrollment does."""
        return _Judge(self._method, self._title, trial, self._pixels)


class _Judge:
    def __init__(self, method: Method, title: str, trial: Trial, pixels: bool) -> None:
        self._method, self._title = method, title
        plain = recipe_of(trial.key, trial.noun)
        self._shots = [0, *(draw.shots for draw in trial.draws)]
        self._recipes = [method.prepare(plain, [])]
        for draw in trial.draws:
            images = [trial.references[index] for index in draw.references]
            self._recipes.append(memorised(method, plain, images))
        self._maps = {0: _Maps(), max(self._shots): _Maps()} if pixels else {}

    def judge(self, batch: Sequence[Sample]) -> dict[str, list[list[float]]]:
        columns: dict[str, list[list[float]]] = {}
        by_recipe = scored(self._method, [sample.image for sample in batch], self._recipes)
        for shots, recipe, given in zip(self._shots, self._recipes, by_recipe, strict=True):
            columns.setdefault(f"{self._title} {shots}-shot", []).append([one.score for one in given])
            if shots == 0:
                places = [_worst_place(one, recipe) for one in given]
                columns[f"{self._title} 0-shot place"] = [places]
            if shots in self._maps:
                self._maps[shots].add(given, batch)
        return columns

    def pixels(self) -> dict[str, float]:
        found = {f"{self._title} {shots}-shot": maps.auroc() for shots, maps in self._maps.items()}
        return {column: value for column, value in found.items() if value is not None}


def _worst_place(one: Scored, recipe: Prepared) -> float:
    if one.anomaly_map is None:
        return one.score
    return float(pool_map(one.anomaly_map[None], recipe.pool_fraction))


class _Maps:
    """Maps and masks of a trial, until all are there and share one scale."""

    def __init__(self) -> None:
        self._pairs: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] = []

    def add(self, given: Sequence[Scored], batch: Sequence[Sample]) -> None:
        for one, sample in zip(given, batch, strict=True):
            if one.anomaly_map is not None and sample.mask is not None:
                self._pairs.append((one.anomaly_map.cpu().float().numpy(), sample.mask))

    def auroc(self) -> float | None:
        """Over all pixels of all images; None without both kinds of pixels."""
        if not self._pairs:
            return None
        lowest = min(float(values.min()) for values, _ in self._pairs)
        highest = max(float(values.max()) for values, _ in self._pairs)
        scale, histogram = Scale(lowest, highest), PixelHistogram()
        for values, mask in self._pairs:
            resized = cv2.resize(values, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
            histogram.add(scale.levels(np.asarray(resized, np.float32)), mask)
        metrics = histogram.metrics()
        return None if metrics is None else metrics.pixel_auroc


class OncePerBatch:
    """An encoder that knows the last batch again, so that several scorers share its pass."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self.name, self.digest = encoder.name, encoder.digest
        self.dimensions, self.logit_scale = encoder.dimensions, encoder.logit_scale
        self._images: list[Image] = []
        self._size: ImageSize = 0
        self._features: ImageFeatures | None = None

    def encode_images(self, images: Sequence[Image], size: ImageSize) -> ImageFeatures:
        """The features of the last call if the batch is the same."""
        if self._features is None or not self._is_last(images, size):
            self._features = self._encoder.encode_images(images, size)
            self._images, self._size = list(images), size
        return self._features

    def start_pass(self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False) -> ImagePass:
        """Not shared: it goes straight through."""
        return self._encoder.start_pass(images, size, keep_aspect=keep_aspect)

    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """The depths of the last call if the batch is the same."""
        if self._features is not None and not keep_aspect and self._is_last(images, size):
            return self._features.depths
        return self._encoder.encode_patches(images, size, keep_aspect=keep_aspect)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts go straight through."""
        return self._encoder.encode_texts(texts)

    def _is_last(self, images: Sequence[Image], size: ImageSize) -> bool:
        same = len(images) == len(self._images) and size == self._size
        return same and all(one is other for one, other in zip(images, self._images, strict=True))
