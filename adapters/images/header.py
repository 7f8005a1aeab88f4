"""``read_header`` and ``check_complete``: an image's size and whether its file is whole, without decoding."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.images.depth import DEEP, stated_bits

JPEG = "image/jpeg"
PNG = "image/png"

MAX_SCANS = 100
"""Each scan of a progressive JPEG passes over the whole image; encoders make about ten."""
_MAX_SEGMENTS = 2_000
_MAX_CHUNKS = 100_000
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
    b"RIFF": "a WebP or AVI",
    b"%PDF": "a PDF",
    b"\x00\x00\x00": "an MP4, HEIF or AVIF",
}
# Start of frame: all of C0-CF except DHT (C4), JPG (C8) and DAC (CC). ITU-T T.81 table B.1.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FILL = re.compile(rb"\xff+")
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
# In entropy-coded data FF is followed by 00 or by a restart marker; anything else is the next marker.
_NO_MARKER = np.zeros(256, bool)
_NO_MARKER[[0x00, 0xFF, *range(0xD0, 0xD8)]] = True


class HeaderError(ValueError):
    """Not an image that we read, or not all of it."""


@dataclass(frozen=True, slots=True)
class Header:
    """Type and size that the first bytes claim."""

    media_type: str
    width: int
    height: int
    depth: int = 8
    """Bits a channel of the file."""
    stated: int | None = None
    """Significant bits that a PNG of 16 bits states."""
    bits: int = 8
    """Bits that were read of each value, once it was decoded (:mod:`adapters.images.depth`)."""
    highest: int = 0
    """Bits of the highest value of a PNG of 16 bits, once it was decoded."""

    @property
    def pixels(self) -> int:
        return self.width * self.height


def media_type(content: bytes) -> str | None:
    """``image/jpeg`` or ``image/png`` by the first bytes; None for everything else."""
    if content.startswith(_PNG_SIGNATURE):
        return PNG
    return JPEG if content.startswith(b"\xff\xd8\xff") else None


def read_header(content: bytes) -> Header:
    """Type and size in pixels, in microseconds, whatever size it claims. Raises HeaderError."""
    kind = media_type(content)
    if kind == PNG:
        return _png_header(content)
    if kind == JPEG:
        return _jpeg_header(content)
    other = next((name for magic, name in _OTHERS.items() if content.startswith(magic)), None)
    found = f"the image is {other}; send JPEG or PNG" if other else "the payload is not JPEG or PNG"
    raise HeaderError(found)


def admit(content: bytes, max_pixels: int) -> Header:
    """The header of an image that is small enough. Raises HeaderError."""
    header = read_header(content)
    if header.pixels > max_pixels:
        raise HeaderError(
            f"the image claims {header.width:,} x {header.height:,} pixels, at most {max_pixels:,} are "
            "decoded; send a smaller one or raise frames.max_pixels"
        )
    return header


def check_complete(content: bytes, header: Header) -> None:
    """Raises HeaderError if the file ends too early, has more parts than a camera writes, is animated,
    or is a PNG with a damaged chunk."""
    if header.media_type == PNG:
        _check_png(content)
    else:
        _check_jpeg(content)


# ---------------------------------------------------------------------------------------------- PNG


def _png_header(content: bytes) -> Header:
    if len(content) < 33 or content[8:16] != b"\0\0\0\x0dIHDR":
        raise HeaderError("the PNG ends within its header")
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if not width or not height:
        raise HeaderError("the PNG claims a width or height of zero")
    if content[24] == DEEP:
        return Header(PNG, width, height, DEEP, stated_bits(content))
    return Header(PNG, width, height)


def _check_png(content: bytes) -> None:
    view = memoryview(content)
    position = len(_PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(content):
            break
        length = int.from_bytes(view[position : position + 4], "big")
        end = position + 12 + length
        if end > len(content):
            break
        name = bytes(view[position + 4 : position + 8])
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise HeaderError(f"the PNG is damaged in its {name!r} chunk")
        if name == b"IEND":
            return
        if name == b"acTL":
            raise HeaderError("the PNG is animated; send one image in a message")
        position = end
    else:
        raise HeaderError(f"the PNG has more than {_MAX_CHUNKS:,} chunks")
    raise HeaderError(f"the PNG is truncated at {len(content):,} bytes")


# --------------------------------------------------------------------------------------------- JPEG


def _jpeg_header(content: bytes) -> Header:
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, position = _marker(content, position)
        if marker in _STANDALONE:
            continue
        if marker in (0xD9, 0xDA):
            raise HeaderError("the JPEG has no size before its data")
        length = int.from_bytes(content[position : position + 2], "big")
        if length < 2 or position + length > len(content):
            raise HeaderError("the JPEG is truncated within its header")
        if marker in _START_OF_FRAME:
            height = int.from_bytes(content[position + 3 : position + 5], "big")
            width = int.from_bytes(content[position + 5 : position + 7], "big")
            if length < 8 or not width or not height:
                raise HeaderError("the JPEG claims a width or height of zero")
            return Header(JPEG, width, height)
        position += length
    raise HeaderError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments before its size")


def _marker(content: bytes, position: int) -> tuple[int, int]:
    """The marker at ``position`` and where its segment begins."""
    fill = _FILL.match(content, position)
    if fill is None:
        raise HeaderError("the JPEG is damaged or truncated within its header")
    if fill.end() >= len(content):
        raise HeaderError("the JPEG is truncated within its header")
    return content[fill.end()], fill.end() + 1


def _check_jpeg(content: bytes) -> None:
    """Walk from scan to scan to the end-of-image marker; what follows it does no harm."""
    markers = _marker_positions(content)
    position, scans = 2, 0
    for _ in range(_MAX_SEGMENTS):
        marker, position = _marker(content, position)
        if marker in _STANDALONE:
            continue
        if marker == 0xD9:
            if not scans:
                raise HeaderError("the JPEG holds no image data")
            return
        length = int.from_bytes(content[position : position + 2], "big")
        position += max(length, 2)
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise HeaderError(f"the JPEG has more than {MAX_SCANS} scans")
            index = int(np.searchsorted(markers, position))
            if index == len(markers):
                raise HeaderError(f"the JPEG is truncated at {len(content):,} bytes")
            position = int(markers[index])
        if position >= len(content):
            raise HeaderError(f"the JPEG is truncated at {len(content):,} bytes")
    raise HeaderError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments")


def _marker_positions(content: bytes) -> NDArray[np.intp]:
    """Positions of FF followed by a byte that makes it a marker; within segments these may be mere data."""
    octets = np.frombuffer(content, np.uint8)
    candidates = np.flatnonzero(octets[:-1] == 0xFF)
    return candidates[~_NO_MARKER[octets[candidates + 1]]]
