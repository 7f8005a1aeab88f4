"""The contact sheet: some verdicts side by side, each as frame, true mask and the agent's overlay."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TILE = 224
GAP = 6
MARGIN = 20
CAPTION = 46
COLUMNS = 2
INK, PALE, PAPER = (24, 26, 30), (112, 118, 126), (255, 255, 255)
COLOURS = {"PASS": (38, 142, 74), "FAIL": (200, 40, 40), "REVIEW": (196, 140, 10)}


@dataclass(frozen=True, slots=True)
class Card:
    """One verdict with its three images, as files."""

    title: str
    """SKU and what it is."""
    verdict: str
    note: str
    frame: bytes
    truth: bytes
    """PNG mask, 255 where the defect is."""
    overlay: bytes | None
    """None where nothing was outlined: the frame is shown."""


def contact_sheet(cards: Sequence[Card], path: Path) -> None:
    """Write the sheet as PNG, two cards in a row."""
    width, height = 3 * TILE + 2 * GAP, TILE + CAPTION
    columns = min(COLUMNS, len(cards))
    rows = -(-len(cards) // columns)
    sheet = Image.new(
        "RGB",
        (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN),
        PAPER,
    )
    for index, card in enumerate(cards):
        left = MARGIN + (index % columns) * (width + MARGIN)
        top = MARGIN + (index // columns) * (height + MARGIN)
        _draw_card(sheet, card, left, top)
    sheet.save(path, optimize=True)


def _draw_card(sheet: Image.Image, card: Card, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(17), ImageFont.load_default(14)
    colour = COLOURS.get(card.verdict, INK)
    width = pen.textlength(card.verdict, bold) + 16
    pen.rounded_rectangle((left, top, left + width, top + 24), 5, fill=colour)
    pen.text((left + 8, top + 12), card.verdict, PAPER, bold, anchor="lm")
    pen.text((left + width + 10, top + 12), card.title, INK, bold, anchor="lm")
    pen.text((left + 3 * TILE + 2 * GAP, top + 12), card.note, PALE, small, anchor="rm")
    proportion = _proportion(card.frame)
    for column, (encoded, word) in enumerate(
        ((card.frame, "frame"), (card.truth, "true mask"), (card.overlay or card.frame, "verdict"))
    ):
        x, y = left + column * (TILE + GAP), top + CAPTION - 14
        sheet.paste(_tile(encoded, proportion), (x, y))
        pen.text((x + 2, y + TILE + 8), word, PALE, ImageFont.load_default(12), anchor="lm")


def _proportion(encoded: bytes) -> float:
    """Height over width."""
    with Image.open(io.BytesIO(encoded)) as image:
        return image.height / image.width


def _tile(encoded: bytes, proportion: float) -> Image.Image:
    """An image on a square tile, without the footer that an overlay has below the frame."""
    with Image.open(io.BytesIO(encoded)) as image:
        height = min(image.height, round(image.width * proportion))
        small = image.convert("RGB").crop((0, 0, image.width, height))
    small.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE, TILE), (238, 240, 242))
    tile.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    return tile
