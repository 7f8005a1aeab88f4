"""``MapStore`` and truth masks: what pixel figures are computed from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from adapters.evaluation.protocol import Map
from agent.domain.errors import ConfigurationError


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


Mask = NDArray[np.bool_]


def read_mask(path: Path, *, above: int = 0) -> Mask:
    """(H, W), True where a pixel's value is above ``above``.

    Read raw: VisA's masks hold class numbers from 1, which a conversion to colour or to 8 bits could
    turn to black; of several channels the highest counts, transparency does not.

    Raises:
        ConfigurationError: the file is missing or is not an image.
    """
    try:
        with Pillow.open(path) as opened:
            plain = opened.convert("RGB") if opened.mode == "RGBA" else opened
            plain = opened.convert("L") if opened.mode == "LA" else plain
            values = np.asarray(plain)
    except FileNotFoundError:
        raise ConfigurationError(f"the mask {path} is missing") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ConfigurationError(f"the mask {path} cannot be read: {error}") from error
    if values.ndim == 3:
        values = values.max(axis=2)
    return np.asarray(values > above, dtype=bool)


def resize_mask(mask: Mask, size: int, *, smooth: bool = True) -> Mask:
    """(size, size): bilinear with antialiasing, cut above one half; or the nearest pixel (METHODS 0.3)."""
    if mask.shape == (size, size):
        return mask
    if smooth:
        grey = Pillow.fromarray(mask.astype(np.float32))
        return np.asarray(grey.resize((size, size), Pillow.Resampling.BILINEAR)) > 0.5
    plain = Pillow.fromarray(mask.astype(np.uint8))
    return np.asarray(plain.resize((size, size), Pillow.Resampling.NEAREST)) > 0
