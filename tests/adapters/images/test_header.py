"""Image headers that lie and files that cost memory: refused before, or instead of, decoding."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest

from adapters.images.header import HeaderError, check_complete, read_header
from adapters.images.pixels import decode_pixels
from adapters.images.worker import DecodeWorker
from tests.adapters.images.test_decoder import JPEG, PNG
from tests.support.mutations import chunk, originals, png, zeros

MANY = 100_000_000
END = b"\xff\xd9"
SOF = JPEG.index(b"\xff\xc0")


def refusal(content: bytes, max_pixels: int = MANY) -> str:
    with pytest.raises(HeaderError) as caught:
        decode_pixels(content, max_pixels)
    return str(caught.value)


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def test_a_second_size_in_a_jpeg_is_not_believed() -> None:
    length = 2 + int.from_bytes(JPEG[SOF + 2 : SOF + 4], "big")
    frame = JPEG[SOF : SOF + length]
    small = frame[:5] + struct.pack(">HH", 8, 8) + frame[9:]
    assert "cannot be decoded" in refusal(JPEG[:SOF] + small + JPEG[SOF:])
    assert "cannot be decoded" in refusal(JPEG[: SOF + length] + small + JPEG[SOF + length :])


def test_a_second_header_in_a_png_is_not_believed() -> None:
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    for content in (PNG[:8] + small + PNG[8:], PNG[:33] + small + PNG[33:]):
        assert "cannot be decoded" in refusal(content)


def test_a_png_whose_header_comes_late() -> None:
    comment = chunk(b"tEXt", b"a\0b")
    assert "ends within its header" in refusal(PNG[:8] + comment + PNG[8:])


@pytest.mark.parametrize(("scans", "good"), [(40, True), (300, False)])
def test_scans_of_a_progressive_jpeg(scans: Any, good: Any) -> None:
    content = originals()[1]
    last = content[content.rindex(b"\xff\xda") : -2]
    many = content[:-2] + last * scans + END
    header = read_header(many)
    if good:
        check_complete(many, header)
        return
    with pytest.raises(HeaderError, match="more than 100 scans"):
        check_complete(many, header)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (JPEG[:2] + segment(0xFE, b"") * 100_000 + JPEG[2:], "more than 2,000 segments"),
        (JPEG[:2] + b"\xff\xd0" * 100_000 + JPEG[2:], "more than 2,000 segments"),
        (JPEG[:-2] + segment(0xFE, b"") * 100_000 + END, "more than 2,000 segments"),
        (PNG[:33] + chunk(b"tEXt", b"") * 100_001 + PNG[33:], "more than 100,000 chunks"),
        (PNG[:33] + chunk(b"acTL", bytes(8)) + PNG[33:], "is animated"),
    ],
    ids=["comments", "markers", "late comments", "chunks", "animation"],
)
def test_more_parts_than_a_camera_writes(content: bytes, word: str) -> None:
    assert word in refusal(content)


def test_fill_bytes_are_skipped_at_once() -> None:
    assert np.array_equal(
        decode_pixels(JPEG[:2] + b"\xff" * 3_000_000 + JPEG[2:], MANY)[1], decode_pixels(JPEG, MANY)[1]
    )
    assert "truncated" in refusal(JPEG[:2] + b"\xff" * 3_000_000)


@pytest.mark.skipif(not DecodeWorker.supported(), reason="needs the decoder's own process")
def test_what_inflates_costs_little_and_the_image_is_read_all_the_same() -> None:
    """Chunks of a few kB that inflate to 60 MB: they are not pixels, and nothing needs them."""
    expected = decode_pixels(PNG, MANY)[1]
    with DecodeWorker(MANY) as worker:
        worker.start()
        pid = worker.pid
        for extra in (
            chunk(b"zTXt", b"Comment\0\0" + zeros(60)),
            chunk(b"iTXt", b"Comment\0\x01\0\0\0" + zeros(60)),
            chunk(b"iCCP", b"profile\0\0" + zeros(60)),
        ):
            assert np.array_equal(worker(PNG[:33] + extra + PNG[33:])[1], expected)
        with pytest.raises(HeaderError):
            worker(png(9_000, 9_000, chunk(b"IDAT", zeros(20))))
        assert worker.pid == pid


@pytest.mark.parametrize("size", [(1, 1), (1, 5_000), (5_000, 1)])
def test_thin_images(size: Any) -> None:
    for suffix in (".jpg", ".png"):
        content = cv2.imencode(suffix, np.full((*size, 3), 90, np.uint8))[1].tobytes()
        assert decode_pixels(content, 5_000)[1].shape == (*size, 3)
        assert "at most 0 are decoded" in refusal(content, 0)
