"""Whether drawn images are honest, before anything is trained on them:
``python -m adapters.lab.training.oracle --teacher FILE [--sheet FILE.png] [--out FILE.json]``.

Places of a real network's features get a small head (logistic regression) that learns, on half of the
products, what lies under the exact masks; on the other half it has to tell defective parts from their good
twins. It looks at one image alone and knows no product, so a missing part passes it by; therefore each
defect at a station is also compared with good parts there. What none of this sees, nor the eye on the sheet,
a caption must not claim.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from adapters.lab.training.dataset import RESERVED_SEED
from adapters.lab.training.oracle_sheet import Shown, chosen, sheet
from adapters.lab.training.oracle_table import Judged, Report
from adapters.models.encoders.backbone import TimmBackbone
from adapters.models.weights.catalogue import timm_network
from adapters.simulator import FAMILIES, Image, Product, Station, draw
from agent.domain.errors import ConfigurationError, SightlineError

SIZE = 256
STATIONS = ("fixed", "varied")
SPAN = 100_000
"""Seeds that one ``--seed`` has for itself."""
PARTS_EACH = 4
"""Pairs of one product: all places of an image are of one product, so products count."""
UNDER = 0.25
"""A place is under the mask from this share of its area."""
AROUND = 9
"""Places a side that a place is compared with."""
TOP = 0.01
"""The score of an image is the mean of this share of its highest places."""
MOST_UNDER = 16
"""Places under one mask that the head learns from: large defects count no more than small ones."""
BESIDE = 16
"""Other places of each good part that it learns from."""
QUANTILE = 0.95
REFERENCES = 4
"""Good parts that an image is compared with."""

Array = NDArray[np.float32]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn."""

    families: tuple[str, ...] = tuple(FAMILIES)
    pairs: int = 32
    """Of each family: half of them of products that the head learns from."""
    stations: tuple[str, ...] = STATIONS
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigurationError where nothing could be learnt or judged."""
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown or not self.families:
            raise ConfigurationError(
                f"there is no product family {''.join(unknown[:1])!r}; there are {', '.join(FAMILIES)}"
            )
        if self.pairs < 2 * PARTS_EACH or self.pairs > SPAN // 2 or self.seed < 0:
            raise ConfigurationError(
                f"--pairs is at least {2 * PARTS_EACH}, so that some products are learnt from and others are "
                "judged, and --seed is not negative"
            )
        strange = [mode for mode in self.stations if not hasattr(Station, mode)]
        if strange or not self.stations:
            raise ConfigurationError(f"there is no station of the kind {''.join(strange[:1])!r}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A defective part and the good one of the same seed."""

    family: str
    defect: str
    station: str
    learnt: bool
    """Whether the head learns from its product."""
    good: Image
    bad: Image
    references: tuple[Image, ...] = ()
    """Good parts of the same product at the same station; none where every image has one of its own."""


def pairs(plan: Plan) -> Iterator[Pair]:
    """All pairs, family by family; products take turns at being learnt from, stations and defects too."""
    base = RESERVED_SEED + SPAN * (plan.seed + 1)
    for family in plan.families:
        first = base + crc32(family.encode()) % (SPAN // 2)
        for index in range(plan.pairs):
            number = index // PARTS_EACH
            product = Product.create(family, first + number)
            # Learnt and judged products come one after the other: both halves see every kind, and a kind that
            # comes again does so at another station.
            kinds, turn = product.kind.defects, number // 2 * PARTS_EACH + index % PARTS_EACH
            defect = kinds[turn % len(kinds)]
            mode = plan.stations[(turn % len(kinds) + turn // len(kinds)) % len(plan.stations)]
            station: Station = getattr(Station, mode)(first + number)
            good = draw(product, station, first + index, size=SIZE)
            bad = draw(product, station, first + index, defect=defect, size=SIZE)
            learnt = number % 2 == 0
            beside = () if learnt or mode == "varied" else references(product, station)
            yield Pair(family, defect, mode, learnt, good, bad, beside)


@lru_cache(maxsize=8)
def references(product: Product, station: Station) -> tuple[Image, ...]:
    """Good parts to compare with, of seeds of their own."""
    first = product.seed + SPAN // 2
    return tuple(draw(product, station, first + index, size=SIZE) for index in range(REFERENCES))


# ------------------------------------------------------------------------------------------ places


@torch.inference_mode()
def places(backbone: TimmBackbone, images: Sequence[NDArray[np.uint8]]) -> Array:
    """(B, h, w, 2C): features of all depths on the finest grid, and how far each is from those around it."""
    depths = [depth.permute(0, 3, 1, 2) for depth in backbone.encode_patches(images, SIZE)]
    grid = max((tuple(depth.shape[-2:]) for depth in depths), key=lambda side: side[0] * side[1])
    joined = torch.cat(
        [F.interpolate(depth, size=grid, mode="bilinear", align_corners=False) for depth in depths], dim=1
    )
    around = F.avg_pool2d(joined, AROUND, 1, AROUND // 2, count_include_pad=False)
    both = torch.cat([joined, (joined - around).abs()], dim=1)
    return np.asarray(both.permute(0, 2, 3, 1).numpy(), np.float32)


def under(mask: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w): places of which the mask covers enough; of a mask too small for any, where it covers most."""
    share = cv2.resize(mask.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)
    covered = share >= UNDER
    if not covered.any() and share.max() > 0:
        covered = share >= share.max()
    return np.asarray(covered, np.bool_)


class Examples:
    """Places to learn from, by turns of a seeded choice."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._places: list[Array] = []
        self._truth: list[NDArray[np.bool_]] = []

    def add(self, pair: Pair, good: Array, bad: Array) -> None:
        """Places under the mask; the same places of the good twin and some others of it."""
        covered = np.flatnonzero(under(pair.bad.mask, good.shape[:2]))
        covered = self._some(covered, MOST_UNDER)
        flat_good, flat_bad = (one.reshape(-1, one.shape[-1]) for one in (good, bad))
        beside = self._some(np.setdiff1d(np.arange(len(flat_good)), covered), BESIDE)
        sound = np.concatenate([flat_good[covered], flat_good[beside]])
        self._places += [flat_bad[covered], sound]
        self._truth += [np.ones(len(covered), np.bool_), np.zeros(len(sound), np.bool_)]

    def _some(self, indices: NDArray[np.intp], most: int) -> NDArray[np.intp]:
        return indices if len(indices) <= most else self._rng.choice(indices, most, replace=False)

    def head(self) -> Head:
        """What tells the places apart. Raises ConfigurationError where no mask covered anything."""
        truth = np.concatenate(self._truth) if self._truth else np.zeros(0, np.bool_)
        if not truth.any():
            raise ConfigurationError("there is nothing to learn from: no defect left a mask")
        regression = LogisticRegression(C=0.05, max_iter=400, class_weight="balanced", random_state=0)
        fitted = make_pipeline(StandardScaler(), regression).fit(np.concatenate(self._places), truth)
        return Head(fitted)


class Head:
    """Scores places and images."""

    def __init__(self, fitted: Pipeline) -> None:
        self._fitted = fitted

    def places(self, features: Array) -> Array:
        """(h, w) logits of an image's (h, w, 2C) features."""
        flat = features.reshape(-1, features.shape[-1])
        return np.asarray(self._fitted.decision_function(flat), np.float32).reshape(features.shape[:2])

    def distances(self, features: Array, references: Array) -> Array:
        """(h, w) cosine distances of an image's places to the nearest ones of (k, h, w, 2C) references."""
        known = self._unit(references)
        return np.asarray(1.0 - (self._unit(features) @ known.T).max(axis=1)).reshape(features.shape[:2])

    def _unit(self, features: Array) -> Array:
        """Standardised features themselves, without the half that says how odd they are where they stand."""
        flat = features.reshape(-1, features.shape[-1])
        own = self._fitted[0].transform(flat)[:, : flat.shape[1] // 2]
        return np.asarray(own / np.linalg.norm(own, axis=1, keepdims=True).clip(1e-6), np.float32)

    def judge(self, pair: Pair, good: Array, bad: Array, references: Array | None = None) -> Judged:
        """Both scores of a pair, and whether its defect is seen, alone and beside good parts."""
        sound, damaged = self.places(good), self.places(bad)
        covered = under(pair.bad.mask, (sound.shape[0], sound.shape[1]))
        compared = None
        if references is not None:
            compared = _stands_out(self.distances(good, references), self.distances(bad, references), covered)
        return Judged(
            pair.family,
            pair.defect,
            pair.station,
            highest(sound),
            highest(damaged),
            _stands_out(sound, damaged, covered),
            contrast(pair.good.image, pair.bad.image, pair.bad.mask),
            float(pair.bad.mask.mean()),
            compared,
        )


def _stands_out(sound: Array, damaged: Array, covered: NDArray[np.bool_]) -> bool:
    """Whether places under the mask score above nearly all places of the good twin."""
    return bool(covered.any() and damaged[covered].mean() > np.quantile(sound, QUANTILE))


def highest(scores: Array) -> float:
    """The mean of the highest places, at least one."""
    count = max(1, int(TOP * scores.size))
    return float(np.sort(scores, axis=None)[-count:].mean())


def contrast(good: NDArray[np.uint8], bad: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Mean CIE Lab distance between two images under a mask; 0 for an empty one."""
    if not mask.any():
        return 0.0
    before, after = (
        cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB) for image in (good, bad)
    )
    return float(np.sqrt(np.square(after - before).sum(axis=2))[mask].mean())


# ------------------------------------------------------------------------------------------ the run


def consult(backbone: TimmBackbone, plan: Plan) -> list[Shown]:
    """Draw, learn from one half of the products and judge the other. Raises ConfigurationError."""
    examples = Examples(plan.seed)
    kept: list[Pair] = []
    family = ""
    for pair in pairs(plan):
        if pair.family != family:
            family = pair.family
            logger.info("%s (%d of %d)", family, plan.families.index(family) + 1, len(plan.families))
        if pair.learnt:
            examples.add(pair, *places(backbone, [pair.good.image, pair.bad.image]))
        else:
            kept.append(pair)
    head = examples.head()
    logger.info("learnt; judging %d pairs", len(kept))
    return [_shown(backbone, head, pair) for pair in kept]


def _shown(backbone: TimmBackbone, head: Head, pair: Pair) -> Shown:
    good, bad, *rest = places(backbone, [one.image for one in (pair.good, pair.bad, *pair.references)])
    judged = head.judge(pair, good, bad, np.stack(rest) if rest else None)
    return Shown(judged, pair.good.image, pair.bad.image, pair.bad.mask)


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m adapters.lab.training.oracle",
        description="Whether a real network with a small head tells drawn defects from good parts.",
    )
    add = options.add_argument
    add("--teacher", type=Path, metavar="FILE", required=True, help="weights of the network, safetensors")
    add("--architecture", default="mobilenetv2_100", metavar="NAME", help="what timm calls it")
    add("--families", type=_names, metavar="NAME,...", default=tuple(FAMILIES), help="default: all")
    add(
        "--stations", type=_names, metavar="KIND,...", default=STATIONS, help=f"default: {','.join(STATIONS)}"
    )
    add("--pairs", type=int, default=32, help="good parts of each family, and as many defective twins")
    add("--seed", type=int, default=0, help="of products, stations, parts and the choice of places")
    add("--threads", type=int, default=1)
    add("--sheet", type=Path, metavar="FILE", help="an image of 100 judged parts, to be looked at")
    add("--out", type=Path, metavar="FILE", help="the tables as JSON")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, judge and print. A wrong path or size ends it with one sentence."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(max(1, arguments.threads))
    cv2.setNumThreads(1)
    try:
        plan = Plan(arguments.families, arguments.pairs, arguments.stations, arguments.seed)
        architecture, preprocessing = timm_network(arguments.architecture)
        backbone = TimmBackbone(architecture, arguments.teacher, preprocessing)
        shown = consult(backbone, plan)
        report = Report.of([one.judged for one in shown])
        settings = {
            "teacher": backbone.digest, "families": plan.families, "pairs": plan.pairs,
            "stations": plan.stations, "seed": plan.seed,
        }  # fmt: skip
        _write(arguments, settings, report, shown)
    except SightlineError as error:
        raise SystemExit(f"oracle: {error}") from error
    sys.stdout.write(report.markdown())


def _write(
    arguments: argparse.Namespace, settings: dict[str, Any], report: Report, shown: Sequence[Shown]
) -> None:
    """Raises ConfigurationError."""
    try:
        for path in (arguments.sheet, arguments.out):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        if arguments.out is not None:
            text = json.dumps({"settings": settings, **report.as_dict()}, indent=2)
            arguments.out.write_text(text + "\n", encoding="utf-8")
        if arguments.sheet is not None:
            _, encoded = cv2.imencode(".png", cv2.cvtColor(sheet(chosen(shown)), cv2.COLOR_RGB2BGR))
            arguments.sheet.write_bytes(encoded.tobytes())
    except OSError as error:
        raise ConfigurationError(f"the result cannot be written: {error}") from error


if __name__ == "__main__":
    main()
