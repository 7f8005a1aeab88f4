"""Settings for a checkpoint: ``python -m adapters.lab.training.tuning [--checkpoint FILE]``.

Measures what the method of the embedded profile would give under other settings, on drawn products that
training never saw: the set of prompts, side length, depths, size and spread of the memory bank, smoothing,
what a map is summed up by, and the weights between language and vision. Words are chosen on families that
training never saw, what compares with references on new products of all families: six are too few, and the
lead of a setting on them may be that of a single one. The evaluation draws other products than these. No
photograph takes part.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import torch

from adapters.lab.evaluation.figures import auroc
from adapters.lab.evaluation.judging import recipe_of
from adapters.lab.evaluation.models import bundled_files
from adapters.lab.evaluation.products import STATIONS, Sizes, trial_of
from adapters.lab.evaluation.record import Record
from adapters.lab.evaluation.trial import Trial
from adapters.lab.training.machine import simulator_digest
from adapters.lab.training.tuning_report import Measured, report
from adapters.models.encoders.clip import OpenClipEncoder
from adapters.simulator import FAMILIES, HELD_OUT
from agent.domain.errors import SightlineError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet, PromptSource, combine, compositional_ensemble
from agent.methods.language import Words, anomaly_probability, embed_words
from agent.methods.maps import average_maps, pool_map
from agent.methods.memory import bank_of, join_depths, tempered_distances
from agent.methods.prompt_library import library
from agent.methods.variants import evenly_spaced, variants
from agent.ports import ImageFeatures

SEED = 5
"""Of the products; the evaluation's default is 0."""
STRIDES = (4, 8, 16)
MAP = 56
POOLS = (0.001, 0.003, 0.01, 0.03)
LANGUAGE_MAPS = (0.0, 0.25, 0.5, 0.75, 1.0)
VISIONS = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)
GAIN = 3.5
PART = "tuning"


@dataclass(frozen=True, slots=True)
class Features:
    """One way to compare with references."""

    side: int
    depths: tuple[int, ...]
    smoothing: int = 1
    limit: int = 8192
    spread: float = 1.0
    directions: int = 8
    """In which references are memorised where parts lie loosely."""

    def __str__(self) -> str:
        depths = "+".join(str(depth) for depth in self.depths)
        size = f"{self.side} px, strides {depths}, smoothing {self.smoothing}, bank {self.limit}"
        return f"{size}, spread {self.spread:g}, {self.directions} directions"


def candidates(sides: Sequence[int]) -> list[Features]:
    """A middle choice and what lies beside it in one respect."""
    middle = Features(sides[0], (8, 16))
    found = [replace(middle, side=side) for side in sides]
    found += [replace(middle, depths=depths) for depths in ((8,), (16,), (4, 8, 16))]
    found += [replace(middle, smoothing=3), replace(middle, directions=16)]
    found += [replace(middle, spread=spread) for spread in (0.0, 2.0, 4.0)]
    return [*found, *(replace(middle, limit=limit) for limit in (2048, 4096, 16384))]


IN_FORCE = {
    "prompts": "prompts, template, map 0.5, pool 0.003",
    "zero-shot": "zero-shot, 320 px, map 0.5, pool 0.003",
    "few-shot": (
        "few-shot, 320 px, strides 8+16, smoothing 1, bank 8192, spread 1, 16 directions, pool 0.003, "
        "vision 0.95"
    ),
}
"""What the profile has, named as here."""


def prompt_sets(noun: str) -> dict[str, PromptSet]:
    """Words to choose among, by name."""
    template, written = compositional_ensemble(noun), library()
    bare = PromptSet((f"{noun} without defect",), (f"{noun} with defect",), source=PromptSource.TEMPLATE)
    return {
        "template": template,
        "library": written,
        "template and library": combine(template, written),
        "one sentence each": bare,
    }


class Tuning:
    """All settings on all trials."""

    def __init__(self, encoder: OpenClipEncoder, sides: Sequence[int]) -> None:
        """``sides``: images are shown at these side lengths, the first in every other comparison."""
        self._encoder, self._sides = encoder, tuple(sides)

    @torch.inference_mode()
    def measure(self, trial: Trial) -> Iterator[tuple[str, float]]:
        """Every setting's name with its image AUROC on a trial."""
        samples = [sample for batch in trial.batches() for sample in batch]
        kinds, images = [sample.kind for sample in samples], [sample.image for sample in samples]
        words = embed_words(self._encoder, recipe_of(trial.key, trial.noun).prompts)
        passes = {side: self._encode(images, side) for side in self._sides}
        for side, passed in passes.items():
            for name, scores in self._zero_shot(passed, words):
                yield f"zero-shot, {side} px, {name}", auroc(kinds, [scores])
        for name, prompts in prompt_sets(trial.noun).items():
            other = embed_words(self._encoder, prompts)
            for rest, scores in self._zero_shot(passes[self._sides[0]], other):
                yield f"prompts, {name}, {rest}", auroc(kinds, [scores])
        language = self._language(passes[self._sides[0]].image, words)
        for features in candidates(self._sides):
            angles = evenly_spaced(features.directions) if trial.station == "loose" else (0.0,)
            distances = self._distances(features, passes[features.side], trial.references, angles)
            for pool, weight in itertools.product(POOLS, VISIONS):
                mixed = torch.lerp(language, GAIN * pool_map(distances, pool), weight)
                name = f"few-shot, {features}, pool {pool}, vision {weight}"
                yield name, auroc(kinds, [mixed.tolist()])

    def _encode(self, images: Sequence[Image], side: int) -> ImageFeatures:
        parts = [self._encoder.encode_images(images[i : i + 8], side) for i in range(0, len(images), 8)]
        return ImageFeatures(
            torch.cat([part.image for part in parts]),
            torch.cat([part.patches for part in parts]),
            tuple(torch.cat(each) for each in zip(*(part.depths for part in parts), strict=True)),
        )

    def _language(self, image: torch.Tensor, words: Words) -> torch.Tensor:
        return anomaly_probability(image, words.direction, self._encoder.logit_scale)

    def _zero_shot(self, features: ImageFeatures, words: Words) -> Iterator[tuple[str, list[float]]]:
        whole = self._language(features.image, words)
        places = anomaly_probability(features.patches, words.direction, self._encoder.logit_scale)
        maps = average_maps([places], MAP)
        for pool, weight in itertools.product(POOLS, LANGUAGE_MAPS):
            yield f"map {weight}, pool {pool}", torch.lerp(whole, pool_map(maps, pool), weight).tolist()

    def _distances(
        self,
        features: Features,
        passed: ImageFeatures,
        references: Sequence[Image],
        angles: Sequence[float],
    ) -> torch.Tensor:
        chosen = [STRIDES.index(depth) for depth in features.depths]

        def joined(depths: Sequence[torch.Tensor]) -> torch.Tensor:
            return join_depths([depths[index] for index in chosen], smoothing=features.smoothing)

        memorised = (
            joined(self._encoder.encode_patches(list(variants(image, angles)), features.side))
            for image in references
        )
        bank = bank_of(memorised, limit=features.limit)
        if features.spread:
            bank = bank.with_spread()
        return average_maps([tempered_distances(joined(passed.depths), bank, features.spread)], MAP)


# ------------------------------------------------------------------------------------------ the run


def plan(products: int, others: int) -> list[tuple[str, int, str]]:
    """Family, number and station of every trial: so many products of each family held out, and of each other.

    Families take turns, so that an early end leaves something of all of them.
    """
    return [
        (family, number, station)
        for number in range(max(products, others))
        for family in FAMILIES
        for station in STATIONS
        if number < (products if family in HELD_OUT else others)
    ]


def measure_one(
    wanted: tuple[str, int, str], checkpoint: Path | None, sides: Sequence[int], sizes: Sizes
) -> dict[str, Any]:
    """All settings on one trial, for the record; runs in a process of its own."""
    family, number, station = wanted
    trial = trial_of(family, number, station, sizes)
    figures = dict(_tuning(checkpoint, tuple(sides)).measure(trial))
    return {"family": family, "station": station, "figures": figures}


@lru_cache(maxsize=1)
def _tuning(checkpoint: Path | None, sides: tuple[int, ...]) -> Tuning:
    return Tuning(replace(bundled_files(checkpoint), strides=STRIDES).encoder(), sides)


def _alone() -> None:
    """Processes beside each other take one thread each."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def run(arguments: argparse.Namespace) -> list[Measured]:
    """Measure what the record does not hold yet. Raises SightlineError."""
    sides = _sides(arguments)
    sizes = Sizes(max(arguments.products, arguments.others, 1), arguments.images, SEED)
    settings = {
        "checkpoint": bundled_files(arguments.checkpoint).encoder().digest,
        "sides": sides,
        "images": arguments.images,
        "candidates": [str(each) for each in candidates(sides)],
        "simulator": simulator_digest(),
    }
    record = Record({"all": settings}, arguments.out, parts=(PART,))
    wanted = {" ".join(map(str, each)): each for each in plan(arguments.products, arguments.others)}
    context = get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context, initializer=_alone) as workers:
        running = {
            workers.submit(measure_one, each, arguments.checkpoint, sides, sizes): key
            for key, each in wanted.items()
            if not record.has(PART, key)
        }
        try:
            for done in as_completed(running):
                record.put(PART, running[done], done.result())
                sys.stderr.write(f"{running[done]} ({len(record.parts[PART])} of {len(wanted)})\n")
        except BaseException:  # whoever ends it wants no more of what is waiting
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    return [Measured(**record.parts[PART][key]) for key in wanted]


def _sides(arguments: argparse.Namespace) -> list[int]:
    return [int(side) for side in arguments.sides.split(",")]


def main() -> None:
    """Measure and print, for each station and for both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="weights to tune for; default: the bundled ones")
    parser.add_argument("--products", type=int, default=2, help="of each held-out family")
    parser.add_argument("--others", type=int, default=1, help="products of each family trained on")
    parser.add_argument("--images", type=int, default=12, help="good ones of each, as many defective")
    parser.add_argument("--sides", default="320,256,288")
    parser.add_argument("--workers", type=int, default=2, help="processes, a thread each")
    parser.add_argument(
        "--out", type=Path, help="the record, as JSON; a run that was cut short goes on there"
    )
    arguments = parser.parse_args()
    try:
        found = run(arguments)
    except SightlineError as error:
        raise SystemExit(f"tuning: {error}") from error
    sys.stdout.write(report(found, IN_FORCE, compared(_sides(arguments))))


def compared(sides: Sequence[int]) -> dict[str, str]:
    """Titles of the candidates by the settings that sum them up and weigh them as the profile does."""
    rest = ", ".join(IN_FORCE["few-shot"].split(", ")[-2:])
    return {f"few-shot, {features}, {rest}": str(features) for features in candidates(sides)}


if __name__ == "__main__":
    main()
