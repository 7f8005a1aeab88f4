"""The image codec: masks come back exactly, overlays show what they should."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from adapters.images.codec import CvImageCodec, ImageError
from adapters.images.heat import heat_panel
from adapters.images.lettering import font, legible, shortened
from adapters.images.overlay import (
    LARGEST_PANEL_PX,
    LARGEST_PX,
    SMALLEST_PX,
    VERDICT_COLOURS,
    draw_overlay,
    id_line,
)
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Defect, HeatMap, Inspection
from agent.domain.regions import Regions, rectangle
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


@pytest.mark.parametrize("size", [(320, 240), (4200, 3150), (30, 20)])
def test_what_is_not_inspected_is_darkened_and_hatched_in_overlays(size: tuple[int, int]) -> None:
    image, mask, defects = example(*size)
    clock = rectangle(0.0, 0.0, 0.5, 0.2)
    plain = draw_overlay(image, mask, inspection(Verdict.FAIL, defects))
    drawn = draw_overlay(
        image, mask, inspection(Verdict.FAIL, defects, regions=Regions(ignore=(clock,)))
    ).astype(int)
    width = plain.shape[1]
    height = round(width / size[0] * size[1])
    inside = drawn[round(0.05 * height) : round(0.15 * height), round(0.05 * width) : round(0.45 * width)]
    assert np.median(inside) == 60, "half of its light"
    assert 0.02 < (inside.mean(axis=2) > 90).mean() < 0.3, "with lines"
    edge = drawn[round(0.1 * height), round(0.5 * width) - 6 : round(0.5 * width) + 6].mean(axis=1)
    assert edge.max() > 200, "and a light edge"
    below = slice(round(0.25 * height), round(0.4 * height))
    assert np.array_equal(drawn[below], plain[below]), "the rest is as it was"


def test_regions_are_drawn_as_jpeg_or_png() -> None:
    image, regions = np.full((64, 64, 3), 120, np.uint8), Regions(ignore=(rectangle(0, 0, 0.5, 0.5),))
    for suffix in (".jpg", ".PNG"):
        assert CODEC.decode(CODEC.encode_regions(image, regions, suffix)).shape == (640, 640, 3)
    with pytest.raises(ImageError, match=r"not as \.gif"):
        CODEC.encode_regions(image, regions, ".gif")


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


def heat(share: float = 0.5) -> HeatMap:
    values = np.zeros((8, 8), np.float32)
    values[4, 3] = share
    return HeatMap(values, 0.4)


def test_a_mask_for_people_is_black_and_white() -> None:
    mask = np.array([[0, 1], [7, 0]], np.uint8)
    assert CODEC.decode(CODEC.encode_mask_view(mask))[..., 0].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize("size", [(128, 128), (4000, 3000), (4096, 512), (64, 900), (1, 1), (3000, 40)])
def test_the_heat_map_stands_beside_the_frame_or_below(size: tuple[int, int]) -> None:
    image, mask, defects = example(*size)
    one = inspection(Verdict.REVIEW, defects, score=0.38, threshold=0.4)
    alone, drawn = draw_overlay(image, mask, one), draw_overlay(image, mask, one, heat())
    height, width = drawn.shape[:2]
    assert max(height, width) <= 2 * LARGEST_PANEL_PX * 1.2
    assert width / height > alone.shape[1] / alone.shape[0] or size[0] > size[1], "beside, unless it is wide"
    if min(size) >= 128:
        colour = drawn[: height - 90].astype(int)
        reddish = (colour[..., 0] > colour[..., 2] + 60).sum()
        assert reddish > 100, "the hottest place is red"
    assert CODEC.encode_overlay(image, None, one, heat())


def test_a_heat_map_is_hot_where_the_map_is_and_names_its_scale() -> None:
    canvas = np.full((400, 400, 3), 120, np.uint8)
    cold, hot = heat_panel(canvas, heat(0.01), 14), heat_panel(canvas, heat(0.5), 14)
    assert (int(hot[225, 175, 0]), int(hot[225, 175, 2])) == pytest.approx((120, 45), abs=40), "red"
    assert int(hot[225, 175, 0]) > int(hot[225, 175, 2]) + 40
    assert np.abs(cold[225, 175].astype(int) - 120).max() < 30, "far below the threshold the frame shows"
    assert np.abs(hot[:80].astype(int) - 120).max() < 3, "where nothing is, the frame is as it was"
    broken = HeatMap(np.full((2, 2), np.nan, np.float32), 0.0)
    assert heat_panel(canvas, broken, 14).shape == canvas.shape


@pytest.mark.parametrize(
    ("identity", "line"),
    [
        (FrameIdentity(Camera("s", "l", "c"), "f-1", part_id="P-7"), "frame f-1 · part P-7 · s/l/c"),
        (FrameIdentity(Camera("s", "l", "c"), "деталь-7"), "frame detal-7 · s/l/c"),
        (FrameIdentity(Camera("s", "l", "c"), "部品-42"), "frame {90E8}{54C1}-42 · s/l/c"),
        (FrameIdentity(Camera("s", "l", "c"), "カメラ 1"), "frame kamera 1 · s/l/c"),
        (FrameIdentity(Camera("s", "l", "c"), "가방🔩"), "frame gabang{1F529} · s/l/c"),
        (FrameIdentity(Camera("s", "l", "c"), "cam [left] 1.jpg"), "frame cam [left] 1.jpg · s/l/c"),
    ],
)
def test_overlays_name_frame_and_part_in_letters_that_the_font_has(
    identity: FrameIdentity, line: str
) -> None:
    pen = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    found = id_line(pen, identity, font(14), 900)
    assert " ".join(found.split()) == line


def test_long_ids_lose_their_middle() -> None:
    pen = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    identity = FrameIdentity(Camera("s", "l", "c"), "2026-11-29T" + "0" * 180 + "-4711", part_id="Q" * 200)
    found = id_line(pen, identity, font(14), 500)
    assert pen.textlength(found, font=font(14)) <= 500
    assert found.startswith("frame 2026-11")
    assert "4711  ·  part QQ" in found
    assert id_line(pen, identity, font(14), 20)


@given(st.text(max_size=400))
def test_any_text_is_legible(text: str) -> None:
    shown = legible(text)
    assert all(" " <= letter <= "~" or letter.isprintable() for letter in shown)
    assert ImageDraw.Draw(Image.new("RGB", (8, 8))).textlength(shown, font=font(14)) >= 0
    assert len(shortened(shown, 12)) <= 12
