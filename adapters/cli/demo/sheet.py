"""``contact_sheet``: some verdicts side by side, each as frame, true mask and overlay."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from adapters.cli.demo.plan import Key, Shot
from agent.ports import MediaStore

Row = Mapping[str, Any]
"""A row of the view ``inspection_history``."""

TILE = 224
GAP = 6
MARGIN = 20
CAPTION = 46
COLUMNS = 2
INK, PALE, PAPER = (24, 26, 30), (112, 118, 126), (255, 255, 255)
COLOURS = {"PASS": (38, 142, 74), "FAIL": (200, 40, 40), "REVIEW": (196, 140, 10)}
_CARDS = (
    ("FAIL", "defective", True, 4),
    ("PASS", "good", True, 2),
    ("REVIEW", "defective", False, 2),
)
"""Verdict, truth, calibrated, how many of them on the contact sheet."""


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
    """None if nothing was outlined: the frame is shown."""


def choose_cards(shots: Mapping[Key, Shot], rows: Sequence[tuple[Key, Row]], media: MediaStore) -> list[Card]:
    """Some of each kind, the products taking turns, the larger scores first among the defective."""
    cards: list[Card] = []
    for verdict, truth, calibrated, count in _CARDS:
        fitting = [
            (shots[key], row)
            for key, row in rows
            if key in shots
            and row["verdict"] == verdict
            and shots[key].truth == truth
            and bool(row["calibrated"]) == calibrated
            and (row["overlay_path"] or truth == "good")
        ]
        cards += [_card(shot, row, media) for shot, row in _taking_turns(fitting)[:count]]
    return cards


def _taking_turns(found: list[tuple[Shot, Row]]) -> list[tuple[Shot, Row]]:
    """The median score first of each SKU, then its neighbours: typical verdicts, not the best ones."""
    ranked = sorted(found, key=lambda one: one[1]["score"] or 0.0)
    places: dict[str, list[tuple[Shot, Row]]] = {}
    for one in ranked:
        places.setdefault(one[0].sku, []).append(one)
    queues = [sorted(group, key=lambda one, middle=group[len(group) // 2]: _distance(one, middle))  # type: ignore[misc]
              for group in places.values()]  # fmt: skip
    return [queue[turn] for turn in range(len(found)) for queue in queues if turn < len(queue)]


def _distance(one: tuple[Shot, Row], other: tuple[Shot, Row]) -> float:
    return abs((one[1]["score"] or 0.0) - (other[1]["score"] or 0.0))


def _card(shot: Shot, row: Row, media: MediaStore) -> Card:
    threshold = f" / threshold {row['threshold']:.3f}" if row["threshold"] is not None else ""
    score = f"score {row['score']:.3f}{threshold}" if row["score"] is not None else ""
    truth = f"true: {shot.defect}" if shot.defect else "true: good"
    return Card(
        title=f"{shot.sku} #{shot.index:04d}",
        verdict=str(row["verdict"]),
        note=f"{truth}   {score}",
        frame=shot.encoded,
        truth=shot.mask,
        overlay=media.get(row["overlay_path"]) if row["overlay_path"] else None,
    )


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
    """An image on a square tile, without what an overlay has beside and below the frame."""
    with Image.open(io.BytesIO(encoded)) as image:
        width = image.width
        if round(width * proportion) > image.height:  # the heat map stands beside the frame
            width //= 2
        height = min(image.height, round(width * proportion))
        small = image.convert("RGB").crop((0, 0, width, height))
    small.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE, TILE), (238, 240, 242))
    tile.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    return tile
