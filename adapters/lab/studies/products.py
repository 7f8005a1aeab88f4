"""``StudyProduct``: the ten products of the studies, one station each, parts by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.simulator import HELD_OUT, Product, Station, draw, random_defect
from agent.domain.frame import Image

TEN = (
    "screw",
    "connector",
    "bottle_base",
    "leather",
    "gear",
    "printed_label",
    "circuit_board",
    "tablet",
    "woven_cloth",
    "bottle_cap",
)
"""Four families that no model was trained on, and six others of every material. The products
themselves are new in any case: training never uses seeds from a million upwards."""

_BASE, _STRIDE = 2_000_000, 1_000_000
_STATIONS = 100
SAMPLES, GOOD, DEFECTIVE = 10_000, 100_000, 200_000
"""Where the numbers of parts begin: to calibrate from, good ones afterwards, defective ones."""


@dataclass(frozen=True, slots=True)
class StudyProduct:
    """A product on its station."""

    product: Product
    station: Station
    base: int
    size: int

    @property
    def name(self) -> str:
        """The family; each is there once."""
        return self.product.family

    @property
    def unseen(self) -> bool:
        """Whether no product of the whole family was trained on."""
        return self.product.family in HELD_OUT

    def parts(self, first: int, count: int, *, defective: bool = False) -> Iterator[Image]:
        """``count`` parts from number ``first``; the same numbers give the same images."""
        for number in range(self.base + first, self.base + first + count):
            defect = random_defect(self.product, number) if defective else None
            yield draw(self.product, self.station, number, defect=defect, size=self.size).image


def study_products(seed: int, size: int) -> list[StudyProduct]:
    """The ten, in their order; another ``seed`` gives others of the same families."""
    base = _BASE + _STRIDE * seed
    return [
        StudyProduct(
            Product.create(family, base + index), Station.fixed(base + _STATIONS + index), base, size
        )
        for index, family in enumerate(TEN)
    ]
