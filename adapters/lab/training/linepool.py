"""``LinePool``: drawn images for training, pairs of one part without and with a defect, masks and words."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.lab.machine import simulator_digest
from adapters.lab.training.dataset import RESERVED_SEED
from adapters.simulator import FAMILIES, HELD_OUT, Product, Station, captions, draw, random_defect

SIZE = 256
MASK_SIZE = 64
CAPTIONS = 8
Mode = Literal["fixed", "loose", "varied"]
STATIONS: tuple[Mode, ...] = ("fixed", "fixed", "loose", "varied", "fixed", "loose", "varied")
"""Modes of the stations, in turn: most products stand in a fixture. The others lie as they fall, or every
image has another light, background and camera."""
PARTS = 3
"""Parts drawn of one product at one station."""

WORKERS = 2
"""Processes that draw; the images do not depend on how many."""

TRAINED = tuple(family for family in FAMILIES if family not in HELD_OUT)


@dataclass(frozen=True, slots=True)
class Record:
    """The words of one image."""

    family: str
    noun: str
    defect: str | None
    captions: list[str]
    station: str
    visibility: float | None
    """Of its defect (:attr:`adapters.simulator.image.Image.visibility`); None for a good part."""


@dataclass(frozen=True, slots=True)
class LinePool:
    """2 P images: number 2 i is a good part and 2 i + 1 the same part with a defect."""

    images: NDArray[np.uint8]
    """(2 P, 256, 256, 3) RGB."""
    masks: NDArray[np.uint8]
    """(2 P, 64, 64) coverage by the defect, 255 for all of a cell."""
    records: list[Record]

    def groups(self, station: str | None = None) -> list[tuple[int, ...]]:
        """The numbers of the pairs that show parts of one product at one station, ``PARTS`` of each."""
        found: dict[tuple[int, int], list[int]] = {}
        for pair in range(len(self.records) // 2):
            if station is None or self.records[2 * pair].station == station:
                found.setdefault(_product(pair), []).append(pair)
        return [tuple(each) for each in found.values() if len(each) == PARTS]


def _product(pair: int) -> tuple[int, int]:
    """Index of the family, and number of the product, that a pair shows."""
    return pair % len(TRAINED), pair // (len(TRAINED) * PARTS)


def _station(family: int, number: int) -> Station:
    """Where the camera sees a product."""
    mode = STATIONS[(number + family) % len(STATIONS)]
    return Station(number * len(TRAINED) + family, mode)


def pool_folder(pools: Path, pairs: int) -> Path:
    """Where the first ``pairs`` pairs lie: another simulator draws others, and never reads these."""
    return pools / f"line-{pairs}-{simulator_digest()[:8]}"


def line_pool(folder: Path, pairs: int) -> LinePool:
    """Draw the first ``pairs`` pairs, or read those that were drawn before; a function of the number
    alone."""
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
    if pairs > RESERVED_SEED * PARTS:
        raise ValueError(f"at most {RESERVED_SEED * PARTS} pairs: other seeds are for tests")
    folder.mkdir(parents=True, exist_ok=True)
    shape = (2 * pairs, SIZE, SIZE, 3)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    masks = np.zeros((2 * pairs, MASK_SIZE, MASK_SIZE), np.uint8)
    records = []
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as workers:
        for pair, drawn in enumerate(workers.map(_pair, range(pairs), chunksize=16)):
            for side, (image, mask, record) in enumerate(drawn):
                images[2 * pair + side], masks[2 * pair + side] = image, mask
                records.append(record)
    images.flush()
    np.save(folder / "masks.npy", masks)
    (folder / "records.json").write_text(json.dumps([asdict(record) for record in records]))


def _pair(pair: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8], Record]]:
    """Image, mask and words of a good part, and of the same part with a defect."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([pair, 0x11E])
    family, number = _product(pair)
    product, station = Product.create(TRAINED[family], number), _station(family, number)
    found = []
    for kind in (None, random_defect(product, pair)):
        image = draw(product, station, pair, defect=kind, size=SIZE)
        covered = image.mask.astype(np.float32) * 255
        mask = np.ceil(cv2.resize(covered, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA))
        texts = captions(image, rng, CAPTIONS)
        record = Record(product.family, product.noun, kind, texts, station.mode, image.visibility)
        found.append((image.image, mask.astype(np.uint8), record))
    return found
