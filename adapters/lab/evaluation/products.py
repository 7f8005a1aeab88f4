"""Trials of drawn products: families, stations, defects, and seeds that training never uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from adapters.lab.evaluation.trial import SIZE, Draw, Sample, Trial
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.simulator import FAMILIES, HELD_OUT, Product, Station, draw
from agent.domain.errors import ConfigurationError

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
        """Raises ConfigurationError where nothing could be measured."""
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


def trials(sizes: Sizes) -> Iterator[Trial]:
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
