"""Trials of photographs: a folder in MVTec's layout, read by the agent's own codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adapters.evaluation.dataset import Category
from adapters.evaluation.formats import FORMATS
from adapters.images.codec import CvImageCodec
from adapters.lab.evaluation.trial import Draw, Sample, Trial
from agent.domain.errors import ConfigurationError, SightlineError
from agent.domain.frame import Image

SHOTS = (1, 4, 16)


def trials(root: Path, draws: int, seed: int) -> Iterator[Trial]:
    """Every product below ``root``, in the order of their names, its references drawn ``draws`` times.

    Raises:
        ConfigurationError: there is no such folder, it has another layout, or a product cannot be judged.
    """
    for category in categories(root):
        yield _trial(category, draws, seed)


def categories(root: Path) -> list[Category]:
    """The products of a folder. Raises ConfigurationError."""
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {root}; --photographs names one in MVTec's layout")
    try:
        found = FORMATS["mvtec"](root)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{root} holds no product in MVTec's layout (PRODUCT/train/good, PRODUCT/test/good, "
            "PRODUCT/test/DEFECT); check --photographs"
        ) from error
    for category in found:
        defective = sum(sample.defect is not None for sample in category.test)
        if not category.train or not 0 < defective < len(category.test):
            raise ConfigurationError(
                f"{root / category.name} needs images in train/good, in test/good and in test/DEFECT"
            )
    return sorted(found, key=lambda category: category.name)


def _trial(category: Category, draws: int, seed: int) -> Trial:
    chosen = nested_draws(len(category.train), draws, seed)
    used = sorted({index for draw in chosen for index in draw.references})
    places = {index: place for place, index in enumerate(used)}

    def images() -> Iterator[Sample]:
        for sample in category.test:
            yield Sample(read(sample.path), sample.defect)

    return Trial(
        product=category.name,
        noun=category.noun or noun_of(category.name),
        references=[read(category.train[index]) for index in used],
        draws=tuple(Draw(draw.shots, tuple(places[index] for index in draw.references)) for draw in chosen),
        images=images,
        seed=seed,
    )


def nested_draws(count: int, draws: int, seed: int) -> list[Draw]:
    """``draws`` draws of each number of shots that ``count`` images suffice for, nested in each other."""
    orders = [np.random.default_rng([seed, draw]).permutation(count).tolist() for draw in range(draws)]
    return [Draw(shots, tuple(order[:shots])) for shots in SHOTS if shots <= count for order in orders]


def noun_of(name: str) -> str:
    """A folder's name as people would say it: one of them, without underscores."""
    words = name.replace("_", " ").strip()
    return words[:-1] if words.endswith("s") and not words.endswith("ss") else words


def read(path: Path) -> Image:
    """An image file as RGB. Raises ConfigurationError with its name."""
    try:
        return CvImageCodec().decode(path.read_bytes())
    except (SightlineError, OSError) as error:
        raise ConfigurationError(f"the photograph {path} cannot be read: {error}") from error
