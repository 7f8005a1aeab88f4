"""``Trial``: one product before one camera, its references, and the images to be judged.

Drawn products come from the simulator by seeds that training never uses (:func:`drawn_trials`). Photographs
come from a folder in MVTec's layout; the agent's own codec reads them (:func:`photograph_trials`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from adapters.evaluation.dataset import Category
from adapters.evaluation.formats import FORMATS
from adapters.images.codec import CvImageCodec
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.simulator import FAMILIES, HELD_OUT, Product, Station, draw
from agent.domain.errors import ConfigurationError, SightlineError
from agent.domain.frame import Image

BATCH = 8
"""Images judged together."""
SIZE = 256
"""Side in pixels of drawn images, and of what encoders take."""

Scores = dict[str, list[list[float]]]
"""By column (``agent 4-shot``): for each draw of references one score an image."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and the truth about it."""

    image: Image
    kind: str | None
    """The defect; None if the part is good."""
    mask: NDArray[np.bool_] | None = None
    """(H, W) its defective pixels; None if unknown."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Which references of a trial serve together."""

    shots: int
    references: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One product at one station; its images come anew with every call of ``images``."""

    product: str
    """The family of a drawn product, or the name of a folder of photographs."""
    noun: str
    references: Sequence[Image]
    draws: tuple[Draw, ...]
    images: Callable[[], Iterator[Sample]]
    station: str = ""
    seed: int = 0

    @property
    def key(self) -> str:
        """What it is called in the record."""
        return " ".join(part for part in (self.product, self.station, str(self.seed)) if part)

    def batches(self) -> Iterator[list[Sample]]:
        """All images in their order, ``BATCH`` at a time."""
        batch: list[Sample] = []
        for sample in self.images():
            batch.append(sample)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch


class Judge(Protocol):
    """A trial that one scorer is ready for."""

    def judge(self, batch: Sequence[Sample]) -> Mapping[str, list[list[float]]]:
        """By column: for each draw one score an image of the batch, higher if more is wrong."""
        ...

    def pixels(self) -> dict[str, float]:
        """By column: the pixel AUROC of all images judged so far; empty without maps."""
        ...


class Scorer(Protocol):
    """One way to score images."""

    def ready(self, trial: Trial) -> Judge:
        """Memorise the trial's references."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """All scores of one trial, as they stand in the record."""

    product: str
    station: str
    seed: int
    kinds: list[str | None]
    scores: Scores
    pixels: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(trial: Trial, scorers: Sequence[Scorer]) -> Result:
    """Every image of a trial by every scorer; an image is drawn or read once."""
    judges = [scorer.ready(trial) for scorer in scorers]
    kinds: list[str | None] = []
    scores: Scores = {}
    for batch in trial.batches():
        kinds += [sample.kind for sample in batch]
        for judge in judges:
            for column, draws in judge.judge(batch).items():
                collected = scores.setdefault(column, [[] for _ in draws])
                for whole, part in zip(collected, draws, strict=True):
                    whole.extend(part)
    pixels = {column: value for judge in judges for column, value in judge.pixels().items()}
    return Result(trial.product, trial.station, trial.seed, kinds, scores, pixels)


# ------------------------------------------------------------------------------------ drawn products


STATIONS = ("fixed", "loose")
SHOTS = (1, 4)

SPAN = 100_000
"""Seeds that one ``--seed`` has for itself, above those of training, demo and tests."""
_PARTS = 50_000
"""From here on seeds are of parts, below of products and stations."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is drawn."""

    products: int = 3
    """Of each family."""
    images: int = 24
    """Good ones of each product at each station, and as many defective ones."""
    seed: int = 0
    families: tuple[str, ...] = tuple(FAMILIES)

    def __post_init__(self) -> None:
        """Raises ConfigurationError if nothing could be measured."""
        if self.products < 1 or self.images < 1 or self.seed < 0:
            raise ConfigurationError("--products and --images are at least 1, and --seed is not negative")
        if max(self.products, self.images) > SPAN // 10:
            raise ConfigurationError(
                f"--products and --images are at most {SPAN // 10}; other seeds belong to other runs"
            )
        unknown = [family for family in self.families if family not in FAMILIES]
        if unknown:
            raise ConfigurationError(
                f"there is no product family {unknown[0]!r}; there are {', '.join(FAMILIES)}"
            )


def drawn_trials(sizes: Sizes) -> Iterator[Trial]:
    """Every family at every station, one product after the other, so that an early end leaves all of them.

    A product meets both stations; its defects take turns, so that each kind is as frequent as another.
    """
    for variant in range(sizes.products):
        for family in sizes.families:
            for mode in STATIONS:
                yield trial_of(family, variant, mode, sizes)


def trial_of(family: str, variant: int, mode: str, sizes: Sizes) -> Trial:
    """One product at a ``fixed`` station, or at a ``loose`` one, which has no fixture."""
    first = RESERVED_SEED + SPAN * (sizes.seed + 1)
    product = Product.create(family, first + variant)
    place = first + SPAN // 10 + crc32(family.encode()) % 30_000 + variant
    station = Station.fixed(place) if mode == "fixed" else Station.loose(place)
    parts = first + _PARTS
    most = max(SHOTS)
    kinds = defects_in_turn(product.kind.defects, sizes.images, variant)

    def images() -> Iterator[Sample]:
        for index in range(2 * sizes.images):
            kind = None if index < sizes.images else kinds[index - sizes.images]
            image = draw(product, station, parts + most + index, defect=kind, size=SIZE)
            yield Sample(image.image, kind, image.mask)

    return Trial(
        product=family,
        noun=product.noun,
        references=[draw(product, station, parts + index, size=SIZE).image for index in range(most)],
        draws=tuple(Draw(shots, tuple(range(shots))) for shots in SHOTS),
        images=images,
        station=mode,
        seed=product.seed,
    )


def defects_in_turn(kinds: Sequence[str], count: int, variant: int) -> list[str]:
    """``count`` kinds, each in its turn; the next product goes on where this one ended."""
    return [kinds[(variant * count + index) % len(kinds)] for index in range(count)]


def groups(families: Sequence[str]) -> dict[str, list[str]]:
    """The families that were trained on and those held out, each group in the simulator's order."""
    known = [family for family in FAMILIES if family in families]
    return {
        "trained": [family for family in known if family not in HELD_OUT],
        "held out": [family for family in known if family in HELD_OUT],
    }


def is_surface(family: str) -> bool:
    """Whether a family is a texture without an outline."""
    return FAMILIES[family].kind == "surface"


# ------------------------------------------------------------------------------------ photographs


PHOTOGRAPH_SHOTS = (1, 4, 16)


def photograph_trials(root: Path, draws: int, seed: int) -> Iterator[Trial]:
    """Every product below ``root``, in the order of their names, its references drawn ``draws`` times.

    Raises:
        ConfigurationError: there is no such folder, it has another layout, or a product cannot be judged.
    """
    for category in categories(root):
        yield _photograph_trial(category, draws, seed)


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


def _photograph_trial(category: Category, draws: int, seed: int) -> Trial:
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
    return [
        Draw(shots, tuple(order[:shots])) for shots in PHOTOGRAPH_SHOTS if shots <= count for order in orders
    ]


def noun_of(name: str) -> str:
    """A folder's name as a noun: singular, without underscores."""
    words = name.replace("_", " ").strip()
    return words[:-1] if words.endswith("s") and not words.endswith("ss") else words


def read(path: Path) -> Image:
    """An image file as RGB. Raises ConfigurationError with its name."""
    try:
        return CvImageCodec().decode(path.read_bytes())
    except (SightlineError, OSError) as error:
        raise ConfigurationError(f"the photograph {path} cannot be read: {error}") from error
