"""``KnownDepth`` and others: which of the 16 bits of a PNG's values carry the image.

Cameras of 10, 12 or 14 bits send PNG with 16 bits a channel and put their values into the lower bits. Read as
16 bits, such an image keeps 4 to 64 of 256 levels. The PNG specification asks for values in the upper bits
and for the chunk sBIT (PNG third edition, 11.3.2.3), which holds the number of significant bits. Cameras that
write sBIT do not move their values, so sBIT alone does not say where they are. The highest value decides:

- Values that fit into the stated bits lie in the lower bits. Otherwise they lie in the upper bits.
- Without a statement, they have the fewest of 8, 10, 12, 14 and 16 bits that hold the highest value.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEEP = 16
"""Bits of a channel that 8 bits do not hold; PNG knows no others."""
DEPTHS = (8, 10, 12, 14, DEEP)
"""Bits of cameras."""
FEWEST_LEVELS = 32
"""An image with fewer levels of 256 lost most of what its camera saw, or shows next to nothing."""

_SAMPLES = (2_048, 65_536)
"""How many values are looked at first: nearly every image shows so many levels among a few."""
_FIRST_CHUNK = 8
_AFTER_HEADER = 33
_MAX_CHUNKS = 1_000
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""By the colour type of a PNG with 16 bits."""
_ALPHA = {4, 6}


@dataclass(frozen=True, slots=True)
class KnownDepth:
    """What is known of a camera's values before one of its images is decoded."""

    stated: int = 0
    """Significant bits by configuration; 0: the image says it, or its values."""
    seen: int = 0
    """Bits of the highest value that the camera has sent so far: a dark image does not change its scale."""

    def bits(self, highest: int, stated: int | None) -> int:
        """Bits that are read of an image.

        Args:
            highest: bits of the image's own highest value.
            stated: what the image states, if it does.
        """
        needed, wanted = max(highest, self.seen), self.stated or stated
        if wanted:
            return wanted if needed <= wanted else DEEP
        return next(depth for depth in DEPTHS if needed <= depth)


UNKNOWN = KnownDepth()


def to_levels(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """8-bit levels of values below 2^``bits``: the upper eight of these bits. Writes into ``values``."""
    if bits >= 8:
        values >>= bits - 8
    else:
        values <<= 8 - bits
    return values.astype(np.uint8)


def count_levels(image: NDArray[np.uint8]) -> int:
    """How many of 256 levels an image has, over all channels; exact if they are few, else at least
    :data:`FEWEST_LEVELS`."""
    flat = image.reshape(-1)
    for sample in _SAMPLES:
        sampled = _used(flat[:: max(1, flat.size // sample)])
        if sampled >= FEWEST_LEVELS:
            return sampled
    return _used(flat)


def _used(values: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(np.bincount(values, minlength=256)))


def stated_bits(png: bytes) -> int | None:
    """Significant bits that a PNG of 16 bits states for its colours, the most of them; None without a
    statement that can be used."""
    channels = _CHANNELS.get(png[25])
    for name, start, end in _chunks(png):
        if name in (b"IDAT", b"PLTE"):
            break
        if name == b"sBIT" and channels is not None and end - start == channels:
            colours = png[start : end - 1 if png[25] in _ALPHA else end]
            return max(colours) if all(1 <= bits <= DEEP for bits in colours) else None
    return None


def with_stated_bits(png: bytes, bits: int) -> bytes:
    """The same PNG of 16 bits, stating ``bits``: whoever reads the file takes the same scale, for ever."""
    channels = _CHANNELS[png[25]]
    content = b"sBIT" + bytes([bits] * channels)
    chunk = channels.to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")
    rest = png[_AFTER_HEADER:]
    for name, start, end in _chunks(png):
        if name == b"sBIT":
            rest = png[_AFTER_HEADER : start - 8] + png[end + 4 :]
            break
        if name in (b"IDAT", b"PLTE"):
            break
    return png[:_AFTER_HEADER] + chunk + rest


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of the data of each chunk."""
    position = _FIRST_CHUNK
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(png):
            return
        start = position + 8
        end = start + int.from_bytes(png[position : position + 4], "big")
        yield png[position + 4 : start], start, end
        position = end + 4
