"""Anomaly maps of a category, kept in a temporary file until the last one is there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from agent.evaluation.protocol import Map


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class MapStore:
    """Append-only and exact; memory stays that of one map, however many pictures there are."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="sightline-maps-")  # noqa: SIM115 - closed in close()
        self._entries: list[_Entry] = []
        self.low = np.inf
        """The lowest value of all maps."""
        self.high = -np.inf
        """The highest value of all maps."""

    def append(self, one: Map) -> None:
        """Keep an (h, w) map of finite values."""
        self._entries.append(_Entry(self._file.seek(0, 2), one.shape, one.dtype))
        self._file.write(np.ascontiguousarray(one).tobytes())
        self.low, self.high = min(self.low, float(one.min())), max(self.high, float(one.max()))

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
