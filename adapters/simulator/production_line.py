"""``SimulatedCamera``: a production line as one camera sees it, with runs, changeovers and rejects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from adapters.simulator.image import Image, draw, random_defect
from adapters.simulator.product import Product
from adapters.simulator.seeds import generator
from adapters.simulator.station import Station


@dataclass(frozen=True, slots=True)
class Run:
    """One job: `frames` parts of one SKU, of which `reject_fraction` (0 to 1) are defective, rounded.

    Raises:
        ValueError: a negative number of frames or a fraction outside 0 to 1.
    """

    sku: str
    product: Product
    frames: int
    reject_fraction: float = 0.1

    def __post_init__(self) -> None:
        if self.frames < 0:
            raise ValueError(f"a run needs zero or more frames, not {self.frames}")
        if not 0.0 <= self.reject_fraction <= 1.0:
            raise ValueError(f"reject_fraction is a fraction from 0 to 1, not {self.reject_fraction}")

    @property
    def rejects(self) -> int:
        """How many of the frames are defective."""
        return round(self.frames * self.reject_fraction)


@dataclass(frozen=True, slots=True)
class Part:
    """One part as the camera saw it; `changeover` if it is the first after one of another SKU."""

    index: int
    sku: str
    part_id: str
    image: Image
    truth: Literal["good", "defective"]
    changeover: bool


@dataclass(frozen=True, slots=True)
class SimulatedCamera:
    """A camera over a line that works through its runs in order. Iterating yields the same parts every time.

    `references` gives good parts that are not on the line, to enroll a SKU with.
    """

    line: str
    camera: str
    station: Station
    runs: Sequence[Run]
    seed: int = 0
    size: int = 256

    def __len__(self) -> int:
        return sum(run.frames for run in self.runs)

    def __iter__(self) -> Iterator[Part]:
        """The parts in the order in which they pass the camera."""
        index, before = 0, None
        for number, run in enumerate(self.runs):
            for position, defective in enumerate(self._rejects(number, run)):
                seed = self._part_seed(number, position)
                defect = random_defect(run.product, seed) if defective else None
                yield Part(
                    index=index,
                    sku=run.sku,
                    part_id=f"{self.line}-{self.camera}-{index:06d}",
                    image=draw(run.product, self.station, seed, defect=defect, size=self.size),
                    truth="defective" if defective else "good",
                    changeover=before is not None and before != run.sku,
                )
                index, before = index + 1, run.sku

    def references(self, product: Product, count: int) -> list[Image]:
        """`count` good parts of a product, seen by this camera, none of them on the line."""
        return [
            draw(product, self.station, self._part_seed(-1, position), size=self.size)
            for position in range(count)
        ]

    def _rejects(self, number: int, run: Run) -> list[bool]:
        flags = np.zeros(run.frames, np.bool_)
        flags[: run.rejects] = True
        generator("rejects", self.line, self.camera, self.seed, number).shuffle(flags)
        return [bool(flag) for flag in flags]

    def _part_seed(self, number: int, position: int) -> int:
        return int(
            generator("part seed", self.line, self.camera, self.seed, number, position).integers(1 << 48)
        )
