"""``PRINTED_LABEL``: paper or film with brand, goods, small print, an emblem and a barcode."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import Canvas, Layers, Plane, lettering
from adapters.simulator.colour import PALETTE, RGB, contrast_to, mix, pick, vary
from adapters.simulator.family import Change, Design, Family

_BRANDS = [
    "NORDIC",
    "ALTA",
    "FARMHOUSE",
    "BELLA",
    "ORGANIC",
    "KAPPA",
    "MERIDIAN",
    "SOLARIS",
    "VERDE",
    "QUELLE",
    "POLAR",
]
_GOODS = [
    "HONEY",
    "COFFEE",
    "OLIVE OIL",
    "SHAMPOO",
    "TOMATO",
    "GREEN TEA",
    "PAINT 2K",
    "RESIN",
    "FLOUR",
    "MUSTARD",
]
_LINES = [
    "NET WT 250 g",
    "LOT 24B7",
    "EXP 2028-03",
    "KEEP DRY",
    "500 ml",
    "MADE IN EU",
    "BATCH 0417",
    "No. 88213",
]
_PIECES = ("brand", "goods", "emblem", "barcode", "lines")
_DARK = (0.05, 0.05, 0.055)


def _label_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("white", "white", "beige", "yellow", "light blue", "green", "red", "blue", "black"))
    paper = vary(rng, PALETTE[colour], 0.04)
    accents = [
        PALETTE[name] for name in ("red", "blue", "green", "orange", "purple", "turquoise", "black", "white")
    ]
    accents = [tone for tone in accents if float(np.abs(np.subtract(tone, paper)).max()) > 0.35]
    accent = vary(rng, accents[int(rng.integers(len(accents)))])
    bars = rng.integers(1, 4, 34)
    return {
        "colour": colour,
        "material": "paper" if rng.random() < 0.6 else "film",
        "paper": paper,
        "ink": contrast_to(rng, paper),
        "accent": accent,
        "size": (float(rng.uniform(0.62, 0.82)), float(rng.uniform(0.5, 0.82))),
        "corner": float(rng.choice((0.0, 0.04, 0.12))),
        "brand": _BRANDS[int(rng.integers(len(_BRANDS)))],
        "goods": _GOODS[int(rng.integers(len(_GOODS)))],
        "lines": [_LINES[int(k)] for k in rng.permutation(len(_LINES))[: int(rng.integers(2, 4))]],
        "bars": [int(v) for v in bars],
        "layout": int(rng.integers(3)),
        "frame": bool(rng.random() < 0.5),
        "emblem": int(rng.integers(3, 9)),
        "head": contrast_to(rng, accent),
        "gloss": float(rng.uniform(0.0, 0.3)),
    }


def _barcode(design: Design, n: int, width: float, height: float) -> Plane:
    bars = design["bars"]
    track = np.repeat(np.arange(len(bars)) % 2 == 0, bars).astype(np.float32)
    columns = max(round(width * 0.5 * n), 8)
    at = (np.arange(columns * 4) / (columns * 4) * len(track)).astype(int)
    row = track[at].reshape(columns, 4).mean(1)
    return np.asarray(np.repeat(row[None], max(round(height * 0.5 * n), 3), 0), np.float32)


@dataclass(slots=True)
class _Press:
    """Place and strength of each piece of the print.

    `play` (x, y) is how this label's print sits on its paper. Of the piece `struck`, the defect makes one:
    `missing`, `fade` (1 full ink), `slip` (moved), `ghost` (printed twice).
    """

    board: Canvas
    paper: RGB
    room: float
    centre: float
    play: tuple[float, float]
    struck: str = ""
    missing: bool = False
    fade: float = 1.0
    slip: float = 0.0
    ghost: float = 0.0

    def spoil(self, change: Change) -> None:
        """Choose at random which piece fails, and how."""
        self.struck = str(change.rng.choice(_PIECES))
        way = int(change.rng.integers(3))
        if change.kind == "missing part":
            self.missing = True
        elif way == 0 and self.struck not in ("emblem", "barcode"):
            self.ghost = 0.02 + 0.03 * change.extent
        elif way == 1:
            self.fade = 0.65 - 0.6 * change.strength
        else:
            self.slip = 0.03 + 0.08 * change.extent

    def lacks(self, piece: str) -> bool:
        """Whether this piece is not printed at all."""
        return self.missing and piece == self.struck

    def ink(self, piece: str) -> float:
        """How strongly the piece is printed, 0 to 1."""
        return self.fade if piece == self.struck else 1.0

    def at(self, piece: str, x: float, y: float) -> tuple[float, float]:
        """The actual place of a piece that belongs at (x, y)."""
        slip = self.slip if piece == self.struck else 0.0
        return x + self.play[0] + slip, y + self.play[1] + 0.5 * slip

    def write(
        self, piece: str, words: str, x: float, y: float, height: float, colour: RGB, bold: bool
    ) -> None:
        """Print a line of text, shrunk if the paper is too narrow for it."""
        if self.lacks(piece):
            return
        n = self.board.n
        width = lettering(words, max(height * 0.5 * n, 3.0), bold, 0).shape[1] * 2 / n
        size = height * min(1.0, 2 * (self.room - abs(x)) / max(width, 1e-3))
        px, py = self.at(piece, x + self.centre, y)
        self.board.text(words, (px, py), size, colour, bold=bold, fade=self.ink(piece))
        if self.ghost and piece == self.struck:
            faint = mix(colour, self.paper, 0.35)
            self.board.text(words, (px + self.ghost, py + self.ghost * 0.6), size, faint, bold=bold)


def _ground(board: Canvas, design: Design, play: tuple[float, float]) -> None:
    """Paper, coloured band and frame."""
    w, h = design["size"]
    board.polygon(shapes.rectangle(w, h, design["corner"]), design["paper"], alpha=255)
    if design["layout"] == 0:
        board.polygon(shapes.moved(shapes.rectangle(w, h * 0.24), (0, -h * 0.76 + play[1])), design["accent"])
    elif design["layout"] == 2:
        board.polygon(shapes.moved(shapes.rectangle(w * 0.12, h), (-w * 0.88 + play[0], 0)), design["accent"])
    if design["frame"]:
        frame = shapes.moved(shapes.rectangle(w - 0.05, h - 0.05, design["corner"]), play)
        board.stroke(frame, 0.014, design["ink"], closed=True)


def _draw_label(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    w, h = design["size"]
    paper, ink, accent = design["paper"], design["ink"], design["accent"]
    banded = w * 0.12 if design["layout"] == 2 else 0.0
    board = Canvas(n, paper, design["gloss"])
    # Every label's print sits a little elsewhere on the paper; a misprint does so plainly.
    x, y = (float(v) for v in np.clip(rng.normal(0, 0.003, 2), -0.006, 0.006))
    press = _Press(board, paper, w - 0.06 - banded, banded, (x, y))
    if change is not None:
        press.spoil(change)
    _ground(board, design, (x, y))
    press.write(
        "brand",
        design["brand"],
        0.0,
        -h * 0.72,
        0.19,
        design["head"] if design["layout"] == 0 else accent,
        True,
    )
    press.write("goods", design["goods"], 0.0, -h * 0.3, 0.13, ink, False)
    for k, words in enumerate(design["lines"]):
        press.write(
            "lines", words, w * 0.36 - banded, h * (-0.02 + 0.17 * k), min(0.065, 0.11 * h), ink, False
        )
    if not press.lacks("emblem"):
        middle = press.at("emblem", -w * 0.5 + banded, h * 0.14)
        board.polygon(
            shapes.circle(h * 0.22, design["emblem"], middle), mix(paper, accent, press.ink("emblem"))
        )
        board.disc(middle, h * 0.1, mix(paper, (0.95, 0.9, 0.6), press.ink("emblem")))
    if not press.lacks("barcode"):
        middle = press.at("barcode", w * 0.4, h * 0.7)
        board.polygon(shapes.moved(shapes.rectangle(w * 0.42, h * 0.17), middle), (0.93, 0.93, 0.92))
        board.stamp(_barcode(design, n, w * 0.72, h * 0.26) * np.float32(press.ink("barcode")), middle, _DARK)
    layers = board.layers(shine=24, thickness=0.008)
    tooth = 0.6 * noise.white(rng, n) + 0.5 * noise.fractal(rng, n, 0.1)
    layers.albedo[:] = np.clip(layers.albedo * (1 + np.float32(0.012) * tooth[..., None]), 0, 1)
    layers.height[:] += noise.clouds(rng, n, 0.35) * np.float32(0.003 * n)
    return layers


PRINTED_LABEL = Family(
    "printed_label",
    "printed label",
    "object",
    (
        "misprint",
        "missing part",
        "stain",
        "scratch",
        "hole",
        "contamination",
        "chipped edge",
        "discolouration",
        "dent",
    ),
    _label_design,
    _draw_label,
    ("label", "sticker", "product label"),
    frozenset({"misprint", "missing part"}),
)
