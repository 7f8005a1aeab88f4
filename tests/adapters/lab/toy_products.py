"""The simulated line in miniature: a few products as textures with square defects, drawn at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.lab.training import linepool
from adapters.lab.training.linepool import MASK_SIZE, PARTS, LinePool, Record

SIDE = 64
FAMILIES = ("gear", "nut")


def toy_line(monkeypatch: pytest.MonkeyPatch, numbers: int = 2) -> LinePool:
    """``PARTS`` pairs of each of ``numbers`` products of each of two families, 64 pixels square."""
    monkeypatch.setattr(linepool, "TRAINED", FAMILIES)
    pairs = len(FAMILIES) * PARTS * numbers
    images = np.zeros((2 * pairs, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((2 * pairs, MASK_SIZE, MASK_SIZE), np.uint8)
    records = []
    for pair in range(pairs):
        family = pair % len(FAMILIES)
        rng = np.random.default_rng([pair, 1])
        good = _texture(family + len(FAMILIES) * (pair // (len(FAMILIES) * PARTS)), rng)
        bad = good.copy()
        top, left = rng.integers(0, SIDE - 16, 2)
        bad[top : top + 16, left : left + 16] = rng.integers(0, 255, 3)
        images[2 * pair], images[2 * pair + 1] = good, bad
        masks[2 * pair + 1, top : top + 16, left : left + 16] = 255
        for defect in (None, "hole"):
            captions = [f"a {FAMILIES[family]}" if defect is None else f"a {FAMILIES[family]} with a hole"]
            visibility = None if defect is None else 1.0
            records.append(Record(FAMILIES[family], FAMILIES[family], defect, captions, "fixed", visibility))
    return LinePool(images, masks, records)


def _texture(product: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Stripes of a product's own period and colour, somewhere, under noise."""
    own = np.random.default_rng([product, 2])
    colour, period = own.integers(60, 190, 3), own.uniform(5, 14)
    along = np.arange(SIDE) + rng.uniform(0, period)
    stripes = 30 * np.sin(2 * np.pi * along / period)[:, None, None]
    return np.clip(colour + stripes + rng.normal(0, 6, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


class InThisProcess:
    """Stands in for the pool of processes, whose start takes seconds."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], chunksize: int = 1) -> Iterator[Any]:
        return map(function, items)


def draw_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linepool, "ProcessPoolExecutor", InThisProcess)
