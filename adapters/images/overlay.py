"""``draw_overlay``: the image that people look at, with defects marked and the verdict in a band below."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from adapters.images.heat import heat_panel
from adapters.images.lettering import Font, fit, font, legible, shortened
from agent.domain.frame import FrameIdentity, Image
from agent.domain.inspection import Defect, HeatMap, Inspection
from agent.domain.regions import Regions
from agent.domain.verdict import Verdict

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels."""

SMALLEST_PX = 640
"""A frame narrower than this is enlarged, so that the text can be read."""
LARGEST_PX = 1600
"""A frame whose longer side exceeds this is reduced: the frame itself is stored beside it."""
LARGEST_PANEL_PX = 1200
"""The same if the heat map stands beside the frame."""
_WIDE = 1.6
"""A frame wider than this share of its height has its heat map below, another one beside it."""

VERDICT_COLOURS: dict[Verdict, Colour] = {
    Verdict.PASS: (34, 139, 76),
    Verdict.FAIL: (200, 38, 46),
    Verdict.REVIEW: (214, 137, 16),
    Verdict.ERROR: (108, 52, 131),
    Verdict.SKIPPED: (90, 98, 104),
}
# Distinct on metal, cloth and wood, also for people who confuse red and green (Okabe and Ito).
DEFECT_COLOURS: tuple[Colour, ...] = (
    (230, 60, 30),
    (0, 150, 230),
    (240, 200, 20),
    (200, 80, 180),
    (0, 180, 130),
    (255, 140, 0),
)
_BAND: Colour = (24, 27, 31)
_TEXT: Colour = (240, 243, 246)
_FAINT: Colour = (160, 168, 176)
_FILL = 0.28
_DIM = 0.5
_MOST_LABELS = 12
_SEPARATOR = "  ·  "


def draw_overlay(
    image: Image, mask: NDArray[np.uint8], inspection: Inspection, heat: HeatMap | None = None
) -> Image:
    """(H', W', 3) uint8 RGB: the frame scaled to a readable size, areas, outlines and labels, band below.

    With ``heat``, the anomaly map over the frame stands beside it, or below if the frame is wide.
    """
    scale = _scale(image.shape[1], image.shape[0], LARGEST_PX if heat is None else LARGEST_PANEL_PX)
    canvas = _resize(image, scale)
    labels = _resize_mask(mask, canvas.shape[1], canvas.shape[0])
    unit = _unit(canvas.shape[1])
    plain = None if heat is None else heat_panel(canvas, heat, unit)
    _shade(canvas, inspection.regions, unit)
    _mark(canvas, labels, inspection.defects, max(1, round(unit * 0.11)))
    marked = _label_defects(canvas, inspection.defects, scale, unit)
    return np.asarray(_with_band(_beside(marked, plain), inspection, unit), dtype=np.uint8)


def draw_regions(image: Image, regions: Regions) -> Image:
    """(H', W', 3) uint8 RGB: the image scaled to a readable size, with what is not inspected shaded."""
    canvas = _resize(image, _scale(image.shape[1], image.shape[0], LARGEST_PX))
    _shade(canvas, regions, _unit(canvas.shape[1]))
    return canvas


def _shade(canvas: Image, regions: Regions, unit: int) -> None:
    """Darken and hatch what is not inspected, and draw its edge, light beside dark."""
    if not regions:
        return
    height, width = canvas.shape[:2]
    outside = ~regions.mask(height, width)
    canvas[outside] = (_DIM * canvas[outside]).astype(np.uint8)
    rows, columns = np.ogrid[:height, :width]
    lines = outside & ((rows + columns) % max(8, unit) < max(1, unit // 10))
    canvas[lines] = (0.5 * canvas[lines] + 0.5 * np.array(_FAINT)).astype(np.uint8)
    edges, _ = cv2.findContours(outside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(unit * 0.08))
    cv2.drawContours(canvas, edges, -1, _BAND, thickness + 2, cv2.LINE_AA)
    cv2.drawContours(canvas, edges, -1, _TEXT, thickness, cv2.LINE_AA)


def _scale(width: int, height: int, largest: int) -> float:
    longest = max(width, height)
    if longest > largest:
        return largest / longest
    return max(1.0, min(SMALLEST_PX / width, largest / longest))


def _beside(marked: Pillow.Image, panel: Image | None) -> Pillow.Image:
    if panel is None:
        return marked
    width, height = marked.size
    gap = max(2, min(width, height) // 200)
    below = width > _WIDE * height
    size = (width, 2 * height + gap) if below else (2 * width + gap, height)
    both = Pillow.new("RGB", size, _BAND)
    both.paste(marked, (0, 0))
    both.paste(Pillow.fromarray(panel), (0, height + gap) if below else (width + gap, 0))
    return both


def _unit(width: int) -> int:
    """Height of the text in pixels."""
    return int(np.clip(width / 44, 13, 30))


def _resize(image: Image, scale: float) -> Image:
    if scale == 1.0:
        return image.copy()
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def _resize_mask(mask: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _colour(index: int) -> Colour:
    return DEFECT_COLOURS[(index - 1) % len(DEFECT_COLOURS)]


def _mark(canvas: Image, labels: NDArray[np.uint8], defects: Sequence[Defect], thickness: int) -> None:
    """Tint each defect and draw its outline, light under colour, so that it is visible on any surface."""
    for defect in defects:
        area = (labels == defect.index).astype(np.uint8)
        if not area.any():
            continue
        colour = np.array(_colour(defect.index), np.float32)
        inside = area.astype(bool)
        canvas[inside] = ((1 - _FILL) * canvas[inside] + _FILL * colour).astype(np.uint8)
        outlines, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, (255, 255, 255), thickness + 2, cv2.LINE_AA)
        cv2.drawContours(canvas, outlines, -1, _colour(defect.index), thickness, cv2.LINE_AA)


def _label_defects(canvas: Image, defects: Sequence[Defect], scale: float, unit: int) -> Pillow.Image:
    """The canvas with a plate beside each defect."""
    image = Pillow.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    shown = defects[:_MOST_LABELS]
    plates: list[Box] = []
    for defect in shown:
        others = [_box(other, scale) for other in shown if other is not defect]
        plates.append(_label(draw, defect, image.size, scale, unit, [*plates, *others]))
    return image


def _with_band(image: Pillow.Image, inspection: Inspection, unit: int) -> Pillow.Image:
    """The image with the band below it."""
    width, height = image.size
    band = round(unit * 5.0)
    whole = Pillow.new("RGB", (width, height + band), _BAND)
    whole.paste(image, (0, 0))
    _write_band(ImageDraw.Draw(whole), inspection, (width, height, band), unit)
    return whole


def _label(
    draw: ImageDraw.ImageDraw,
    defect: Defect,
    size: tuple[int, int],
    scale: float,
    unit: int,
    taken: Sequence[Box],
) -> Box:
    """Draw a small plate above the defect, or in the first free place near it. Returns its box."""
    of = font(unit)
    pad = max(2, unit // 4)
    text = fit(draw, f"{defect.index} {defect.label}", of, size[0] - 4 * pad)
    wide = draw.textlength(text, font=of) + 2 * pad
    tall = unit + 2 * pad
    x, y, w, h = (value * scale for value in defect.bbox)
    places = [(x, y - tall - pad), (x, y + h + pad), (x + w + pad, y), (x - wide - pad, y)]
    places += [(x, y + h + pad + step * (tall + 2)) for step in range(1, 6)]
    box = (0.0, 0.0, 0.0, 0.0)
    for index, (left, top) in enumerate(places):
        left = min(max(left, 0.0), max(size[0] - wide, 0.0))  # noqa: PLW2901 - kept inside the image
        inside = min(max(top, 0.0), max(size[1] - tall, 0.0))
        box = (left, inside, left + wide, inside + tall)
        last = index == len(places) - 1
        if last or (inside == top and not any(_overlap(box, other) for other in taken)):
            break
    colour = _colour(defect.index)
    draw.rounded_rectangle(box, radius=pad, fill=colour)
    dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 150
    draw.text((box[0] + pad, (box[1] + box[3]) / 2), text, _TEXT if dark else _BAND, of, anchor="lm")
    return box


def _box(defect: Defect, scale: float) -> Box:
    x, y, w, h = (value * scale for value in defect.bbox)
    return x, y, x + w, y + h


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write_band(
    draw: ImageDraw.ImageDraw, inspection: Inspection, size: tuple[int, int, int], unit: int
) -> None:
    """Verdict on its colour at the left, score and threshold at the right; SKU, reason and ids between."""
    width, top, band = size
    pad = unit // 2
    verdict = inspection.verdict
    big = font(round(unit * 1.6))
    badge = draw.textlength(verdict.value, font=big) + 2.4 * unit
    draw.rectangle((0, top, badge, top + band), fill=VERDICT_COLOURS[verdict])
    draw.text((badge / 2, top + band / 2), verdict.value, _TEXT, big, anchor="mm")

    right = _score_text(inspection)
    bold, small = font(round(unit * 1.1)), font(max(11, round(unit * 0.85)))
    right_width = draw.textlength(right, font=bold)
    draw.text((width - pad, top + band * 0.22), right, _TEXT, bold, anchor="rm")
    left = badge + pad
    room = width - left - pad
    name = fit(draw, inspection.sku or "no SKU", bold, room - right_width - pad)
    draw.text((left, top + band * 0.22), name, _TEXT, bold, anchor="lm")
    note, ids = fit(draw, _note(inspection), small, room), id_line(draw, inspection.identity, small, room)
    draw.text((left, top + band * 0.53), note, _FAINT, small, anchor="lm")
    draw.text((left, top + band * 0.81), ids, _FAINT, small, anchor="lm")


def id_line(draw: ImageDraw.ImageDraw, identity: FrameIdentity, of: Font, width: float) -> str:
    """Frame, part and camera, each shortened in its middle until all fit into ``width`` pixels."""
    named = [("frame", legible(identity.frame_id))]
    named += [("part", legible(identity.part_id))] if identity.part_id else []
    named.append(("", legible(str(identity.camera))))
    line = ""
    for most in (120, 80, 60, 48, 40, 32, 24, 18, 12, 8):
        line = _SEPARATOR.join(f"{word} {shortened(text, most)}".strip() for word, text in named)
        if draw.textlength(line, font=of) <= width:
            return line
    return fit(draw, line, of, width)


def _score_text(inspection: Inspection) -> str:
    if inspection.score is None:
        return ""
    threshold = "not calibrated" if inspection.threshold is None else f"{inspection.threshold:.3g}"
    return f"{inspection.score:.3g} / {threshold}"


def _note(inspection: Inspection) -> str:
    count = len(inspection.defects)
    parts = [inspection.reason]
    if count:
        parts.append(f"{count} defect{'' if count == 1 else 's'}")
    parts += ["shadow"] if inspection.shadow else []
    return _SEPARATOR.join(parts)
