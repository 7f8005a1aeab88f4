"""Anomaly maps of a category, kept in a temporary file until the last one is there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from adapters.evaluation.protocol import Map


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    low: float
    high: float


class MapStore:
    """Append-only and exact; memory stays that of one map, however many images there are."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="sightline-maps-")  # noqa: SIM115 - closed in close()
        self._entries: list[_Entry] = []

    def append(self, one: Map) -> None:
        """Keep an (h, w) map of finite values."""
        low, high = float(one.min()), float(one.max())
        self._entries.append(_Entry(self._file.seek(0, 2), one.shape, one.dtype, low, high))
        self._file.write(np.ascontiguousarray(one).tobytes())

    def extremes(self, indices: Iterable[int]) -> tuple[float, float]:
        """The lowest and the highest value of some of the maps; infinities the wrong way round for none."""
        low, high = np.inf, -np.inf
        for index in indices:
            entry = self._entries[index]
            low, high = min(low, entry.low), max(high, entry.high)
        return low, high

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Map:
        entry = self._entries[index]
        self._file.seek(entry.offset)
        length = int(np.prod(entry.shape)) * entry.dtype.itemsize
        kept: Map = np.frombuffer(self._file.read(length), dtype=entry.dtype).reshape(entry.shape)
        return kept

    def __iter__(self) -> Iterator[Map]:
        return (self[index] for index in range(len(self)))

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
