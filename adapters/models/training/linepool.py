"""Pictures of the simulated line for training: pairs of the same part without and with a defect, masks
and words.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.models.training.dataset import RESERVED_SEED
from adapters.simulator import FAMILIES, HELD_OUT, Product, Station, captions, draw, random_defect

SIZE = 256
MASK_SIZE = 64
CAPTIONS = 8
FIXED = 0.6
"""Share of pictures from fixed stations; the others vary light, pose, scale and background every time."""
PARTS = 3
"""Parts drawn of one product at one station."""

TRAINED = tuple(family for family in FAMILIES if family not in HELD_OUT)


@dataclass(frozen=True, slots=True)
class Record:
    """The words of one picture."""

    family: str
    noun: str
    defect: str | None
    captions: list[str]


@dataclass(frozen=True, slots=True)
class LinePool:
    """2 P pictures: number 2 i is a good part and 2 i + 1 the same part with a defect."""

    images: NDArray[np.uint8]
    """(2 P, 256, 256, 3) RGB."""
    masks: NDArray[np.uint8]
    """(2 P, 64, 64) coverage by the defect, 255 for all of a cell."""
    records: list[Record]


def line_pool(folder: Path, pairs: int) -> LinePool:
    """Draw the first ``pairs`` pairs, or read them where they were drawn before. A function of the number
    alone.
    """
    index = folder / "records.json"
    if not index.exists():
        _render(folder, pairs)
    records = [Record(**record) for record in json.loads(index.read_text())]
    return LinePool(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks=np.load(folder / "masks.npy"),
        records=records,
    )


def _render(folder: Path, pairs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shape = (2 * pairs, SIZE, SIZE, 3)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    masks = np.zeros((2 * pairs, MASK_SIZE, MASK_SIZE), np.uint8)
    records = []
    for pair in range(pairs):
        rng = np.random.default_rng([pair, 0x11E])
        family = TRAINED[pair % len(TRAINED)]
        number = pair // (len(TRAINED) * PARTS)
        if number >= RESERVED_SEED:
            raise ValueError(
                f"at most {RESERVED_SEED * len(TRAINED) * PARTS} pairs: other seeds are for tests"
            )
        product = Product.create(family, number)
        fixed = (number * 7919 + pair % len(TRAINED)) % 100 < FIXED * 100
        station = Station.fixed(number) if fixed else Station.loose(number)
        defect = random_defect(product, pair)
        for side, kind in enumerate((None, defect)):
            picture = draw(product, station, pair, defect=kind, size=SIZE)
            images[2 * pair + side] = picture.image
            covered = picture.mask.astype(np.float32) * 255
            masks[2 * pair + side] = np.ceil(
                cv2.resize(covered, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)
            )
            records.append(Record(family, product.noun, kind, captions(picture, rng, CAPTIONS)))
    images.flush()
    np.save(folder / "masks.npy", masks)
    (folder / "records.json").write_text(json.dumps([asdict(record) for record in records]))
