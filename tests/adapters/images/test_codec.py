"""The image codec: masks come back exactly, overlays show what they should."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import pytest

from adapters.images.codec import CvImageCodec, ImageError
from adapters.images.overlay import LARGEST_PX, SMALLEST_PX, VERDICT_COLOURS, draw_overlay
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Defect, Inspection
from agent.domain.verdict import Verdict

NOW = datetime(2026, 11, 20, tzinfo=UTC)
CODEC = CvImageCodec()


def inspection(verdict: Verdict, defects: tuple[Defect, ...] = (), **more: object) -> Inspection:
    identity = FrameIdentity(Camera("factory", "line-1", "top"), "f")
    return Inspection("i", identity, "M8 nut", verdict, "because", NOW, NOW, defects=defects, **more)  # type: ignore[arg-type]


def example(width: int, height: int) -> tuple[np.ndarray, np.ndarray, tuple[Defect, ...]]:
    image = np.full((height, width, 3), 120, np.uint8)
    mask = np.zeros((height, width), np.uint8)
    x, y, w, h = width // 3, height // 2, max(1, width // 6), max(1, height // 6)
    mask[y : y + h, x : x + w] = 1
    return image, mask, (Defect(1, "scratch", 0.9, (x, y, w, h), w * h, 0.03),)


def test_a_mask_keeps_every_label() -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    read = cv2.imdecode(np.frombuffer(CODEC.encode_mask(mask), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert read.tolist() == mask.tolist()


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int64)])
def test_what_is_not_a_mask(wrong: Any) -> None:
    with pytest.raises(ImageError, match="a mask is"):
        CODEC.encode_mask(wrong)


def test_decode_names_what_is_wrong() -> None:
    with pytest.raises(ImageError, match="not JPEG or PNG"):
        CODEC.decode(b"hello")


@pytest.mark.parametrize(
    "size", [(256, 256), (640, 480), (2000, 1500), (64, 900), (3000, 40), (1, 1), (1600, 1600)]
)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_overlays_of_any_size(size: tuple[int, int], verdict: Verdict) -> None:
    image, mask, defects = example(*size)
    drawn = draw_overlay(image, mask, inspection(verdict, defects, score=0.7, threshold=0.4))
    height, width = drawn.shape[:2]
    assert max(width, height) <= LARGEST_PX * 1.2
    assert width >= min(SMALLEST_PX, size[0]) or size[0] < size[1]
    # The verdict's colour fills the lower left corner.
    assert tuple(int(value) for value in drawn[height - 2, 1]) == VERDICT_COLOURS[verdict]
    encoded = CODEC.encode_overlay(image, mask, inspection(verdict, defects))
    assert CODEC.decode(encoded).shape == drawn.shape


def test_a_defect_changes_its_area_and_little_else() -> None:
    image, mask, defects = example(800, 600)
    drawn = draw_overlay(image, mask, inspection(Verdict.FAIL, defects))
    plain = draw_overlay(image, np.zeros_like(mask), inspection(Verdict.FAIL))
    changed = (drawn[:600] != plain[:600]).any(axis=2)
    assert changed[mask == 1].all()
    assert changed[mask == 0].mean() < 0.05
    assert np.array_equal(image, np.full_like(image, 120))  # the frame itself stays as it is


def test_many_defects_and_strange_texts() -> None:
    image, mask, _ = example(300, 300)
    defects = tuple(Defect(n, "é☃\n" * 60, 0.5, (n, n, 5, 5), 25, 0.01) for n in range(1, 60))
    mask[100:110, 100:110] = 59
    odd = Inspection(
        "i",
        FrameIdentity(Camera("s", "l", "c"), "f"),
        "X" * 255,
        Verdict.FAIL,
        "r" * 3000,
        NOW,
        NOW,
        defects=defects,
    )
    assert CODEC.encode_overlay(image, mask, odd)
