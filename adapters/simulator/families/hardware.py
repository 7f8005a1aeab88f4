"""``BRACKET`` (stamped) and ``BALL_BEARING``."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers, polar, units
from adapters.simulator.colour import METALS, PALETTE, RGB, mix, pick, vary
from adapters.simulator.families.metal import finished
from adapters.simulator.family import Change, Design, Family

_DARK: RGB = (0.05, 0.05, 0.055)
_COATS: dict[str, tuple[str, str, RGB]] = {  # finish -> colour word, texture, tone
    "zinc": ("silver", "blasted", (0.66, 0.69, 0.73)),
    "chromate": ("yellow", "blasted", (0.74, 0.66, 0.38)),
    "stainless": ("silver", "brushed", METALS["steel"]),
    "aluminium": ("silver", "brushed", METALS["aluminium"]),
    "black powder": ("black", "cast", (0.12, 0.12, 0.13)),
    "white powder": ("white", "cast", (0.86, 0.86, 0.85)),
    "painted": ("", "blasted", (0.5, 0.5, 0.5)),
}

# bracket


def _bracket_outline(rng: np.random.Generator, kind: str) -> tuple[shapes.Outline, list[tuple[float, float]]]:
    """The blank's outline and the places where its holes may be."""
    w, h, bar = (float(v) for v in (rng.uniform(0.6, 0.78), rng.uniform(0.5, 0.76), rng.uniform(0.26, 0.4)))
    if kind == "L":
        points = [(-w, -h), (-w + bar, -h), (-w + bar, h - bar), (w, h - bar), (w, h), (-w, h)]
        places = [(-w + bar / 2, -h + bar / 2), (w - bar / 2, h - bar / 2), (-w + bar / 2, h - bar / 2)]
        places += [(-w + bar / 2, 0.0), (0.1, h - bar / 2)]
    elif kind == "T":
        b = bar / 2
        points = [
            (-w, -h),
            (w, -h),
            (w, -h + bar),
            (b, -h + bar),
            (b, h),
            (-b, h),
            (-b, -h + bar),
            (-w, -h + bar),
        ]
        places = [(-w + b, -h + b), (w - b, -h + b), (0.0, h - b), (0.0, -h + b)]
    elif kind == "U":
        points = [(-w, -h), (-w + bar, -h), (-w + bar, h - bar), (w - bar, h - bar)]
        points += [(w - bar, -h), (w, -h), (w, h), (-w, h)]
        places = [(-w + bar / 2, -h + bar / 2), (w - bar / 2, -h + bar / 2), (0.0, h - bar / 2)]
        places += [(-w + bar / 2, 0.1), (w - bar / 2, 0.1)]
    elif kind == "gusset":
        points = [(-w, h), (-w, -h), (-w + 0.25, -h), (w, h - 0.25), (w, h)]
        places = [(-w + 0.18, -h + 0.2), (w - 0.25, h - 0.15), (-w + 0.18, h - 0.15), (-0.15, h * 0.35)]
    else:
        b = bar * 0.8
        points = [
            (float(x), float(y)) for x, y in shapes.rectangle(w + 0.05, b, float(rng.choice((0.03, b))))
        ]
        places = [(float(x), 0.0) for x in np.linspace(-w + 0.1, w - 0.1, int(rng.integers(2, 6)))]
    return np.array(points, np.float64), places


def _bracket_design(rng: np.random.Generator) -> dict[str, Any]:
    kind = str(rng.choice(("L", "T", "U", "gusset", "strip")))
    outline, places = _bracket_outline(rng, kind)
    coat = pick(rng, tuple(_COATS))
    colour, texture, tone = _COATS[coat]
    if not colour:
        colour = pick(rng, ("red", "blue", "green", "orange", "grey", "yellow"))
        tone = PALETTE[colour]
    holes = []
    for x, y in places:
        slot = float(rng.uniform(0.04, 0.09)) if rng.random() < 0.35 else 0.0
        holes.append((x, y, float(rng.uniform(0.04, 0.075)), slot, bool(rng.random() < 0.5)))
    return {
        "colour": colour,
        "material": "steel" if coat != "aluminium" else "aluminium",
        "tone": vary(rng, tone, 0.05),
        "texture": texture,
        "amount": 0.05 if "powder" not in coat else 0.03,
        "outline": outline,
        "holes": holes,
        "bends": [
            (float(rng.uniform(0.25, 0.5)), float(rng.uniform(0, 2 * np.pi) // (np.pi / 2) * (np.pi / 2)))
            for _ in range(int(rng.integers(0, 3)))
        ],
        "slope": float(rng.uniform(0.2, 0.5)),
        "bead": bool(rng.random() < 0.35),
        "gloss": float(rng.uniform(0.1, 0.5)),
    }


def _folded(layers: Layers, where: float, heading: float, slope: float) -> None:
    """Bend the sheet down beyond a line `where` units from the middle in a direction."""
    n = layers.alpha.shape[0]
    x, y = units(n)
    beyond = x * np.float32(np.cos(heading)) + y * np.float32(np.sin(heading)) - np.float32(where)
    # A bend has a radius: the slope comes on over 0.04 units.
    soft = (np.sqrt(beyond * beyond + np.float32(0.0016)) + beyond) / 2
    layers.height[:] -= np.float32(slope * n / 2) * soft.astype(np.float32)


def _draw_bracket(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, outline = design["tone"], design["outline"]
    edge = mix(tone, _DARK, 0.3)
    kind = change.kind if change is not None else ""
    heading = where = slope = 0.0
    if change is not None and kind == "bent":
        corner = outline[int(change.rng.integers(len(outline)))]
        heading = float(np.arctan2(corner[1], corner[0]) + change.rng.normal(0, 0.2))
        way = np.array([np.cos(heading), np.sin(heading)])
        where = float(corner @ way) * (0.9 - 0.3 * change.extent)
        slope = float(change.rng.choice((-1, 1))) * (0.3 + 0.5 * change.strength)
        outline = outline - way * np.maximum(outline @ way - where, 0)[:, None] * 0.25
    skipped = int(change.rng.integers(len(design["holes"]))) if change and kind == "missing part" else -1
    board = Canvas(n, edge, design["gloss"])
    board.polygon(outline, relief=FLAT - 14, alpha=255)
    board.polygon(outline * 0.985, tone, relief=FLAT)
    if design["bead"]:
        middle = outline.mean(0)
        board.stroke(outline * 0.35 + middle * 0.65, 0.05, relief=FLAT + 22, closed=True)
    for k, (x, y, radius, slot, upright) in enumerate(design["holes"]):
        if k == skipped:
            continue
        half = (radius, radius + slot) if upright else (radius + slot, radius)
        rim = shapes.moved(shapes.rectangle(half[0] + 0.012, half[1] + 0.012, radius + 0.012), (x, y))
        board.polygon(rim, mix(tone, (1, 1, 1), 0.15), relief=FLAT - 8)
        board.polygon(shapes.moved(shapes.rectangle(*half, radius), (x, y)), relief=FLAT - 30, alpha=0)
    layers = finished(board.layers(shine=18, thickness=0.03), rng, design["texture"], design["amount"])
    for reach, direction in design["bends"]:
        _folded(layers, reach, direction + rng.normal(0, 0.006), design["slope"])
    if slope:
        _folded(layers, where, heading, slope)
    return layers


# ball bearing


def _bearing_design(rng: np.random.Generator) -> dict[str, Any]:
    cover = str(rng.choice(("open", "open", "shield", "rubber")))
    bore = float(rng.uniform(0.24, 0.42))
    return {
        "colour": "silver",
        "material": "steel",
        "tone": vary(rng, METALS["steel"], 0.06),
        "cover": cover,
        "seal": vary(rng, PALETTE[pick(rng, ("black", "black", "red", "blue", "brown"))]),
        "cage": vary(rng, METALS["brass"] if rng.random() < 0.4 else METALS["steel"], 0.08),
        "bore": bore,
        "inner": bore + float(rng.uniform(0.08, 0.13)),
        "outer": 0.78 - float(rng.uniform(0.08, 0.14)),
        "balls": int(rng.integers(7, 13)),
        "text": "".join(rng.choice(list("0123456789"), 4)) + str(rng.choice(("", "-2RS", "ZZ", " C3"))),
        "gloss": float(rng.uniform(0.3, 0.7)),
        "engraved": bool(rng.random() < 0.6),
    }


def _around(board: Canvas, words: str, radius: float, height: float, tone: RGB, start: float) -> None:
    """Letters along a circle, their heads outwards."""
    for k, letter in enumerate(words):
        angle = start + k * height * 0.95 / radius
        centre = np.array([np.cos(angle), np.sin(angle)]) * radius
        # A letter is three strokes here; at this height none can be read.
        for part in range(1 + ord(letter) % 3):
            offset = np.array([[-0.3 + 0.3 * part, -0.5], [-0.3 + 0.2 * part, 0.5]]) * height * 0.8
            board.stroke(
                shapes.turned(offset, angle + np.pi / 2, (float(centre[0]), float(centre[1]))), 0.008, tone
            )


def _draw_bearing(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, bore, inner, outer = design["tone"], design["bore"], design["inner"], design["outer"]
    board = Canvas(n, mix(tone, _DARK, 0.2), design["gloss"])
    board.disc((0, 0), 0.8, relief=FLAT - 20, alpha=255)
    board.disc((0, 0), 0.78, tone, relief=FLAT)
    board.disc((0, 0), outer, mix(tone, _DARK, 0.75), relief=FLAT - 60, gloss=0.1)
    middle, count = (inner + outer) / 2, design["balls"]
    size = min((outer - inner) * 0.46, np.pi * middle / count * 0.82)
    phase = float(rng.uniform(0, 2 * np.pi))
    lost = int(change.rng.integers(count)) if change is not None else -1
    gap = 1 + int(change.extent * 2) if change is not None else 0
    board.ring((0, 0), middle, size * 0.55, design["cage"], relief=FLAT - 40, gloss=0.4)
    for k in range(count):
        angle = phase + 2 * np.pi * k / count
        at = (float(np.cos(angle)) * middle, float(np.sin(angle)) * middle)
        if lost <= k < lost + gap:
            board.disc(at, size, mix(tone, _DARK, 0.9), relief=FLAT - 70, gloss=0.0)
            continue
        board.disc(at, size * 1.12, design["cage"], relief=FLAT - 36)
        for step in (1.0, 0.8, 0.6, 0.4, 0.2):
            board.disc(
                at, size * step, mix(tone, _DARK, 0.5 * step**3), relief=int(FLAT - 10 - 26 * step), gloss=0.9
            )
    if design["cover"] != "open":
        start, end = (phase, phase + 2 * np.pi)
        if change is not None:
            start += 0.35 + 0.6 * change.extent
        arc = np.linspace(start, end, 120)
        ray = np.stack([np.cos(arc), np.sin(arc)], 1)
        shield = tone if design["cover"] == "shield" else design["seal"]
        matt = 0.5 if design["cover"] == "shield" else 0.15
        lip = np.concatenate([ray * (outer - 0.005), ray[::-1] * (inner + 0.01)])
        board.polygon(lip, mix(shield, _DARK, 0.15), relief=FLAT - 22, gloss=matt)
        board.stroke(ray * middle, (outer - inner) * 0.5, shield, relief=FLAT - 14)
        _around(
            board,
            design["text"],
            middle,
            0.07,
            mix(shield, (1, 1, 1) if matt < 0.3 else _DARK, 0.4),
            phase + 1,
        )
    board.disc((0, 0), inner, tone, relief=FLAT)
    board.ring((0, 0), inner - 0.01, 0.015, mix(tone, (1, 1, 1), 0.3), relief=FLAT - 8)
    board.ring((0, 0), outer + 0.01, 0.015, mix(tone, (1, 1, 1), 0.3), relief=FLAT - 8)
    if design["engraved"]:
        _around(board, design["text"], (0.78 + outer) / 2, 0.05, mix(tone, _DARK, 0.45), phase * 0.5)
    board.disc((0, 0), bore + 0.015, mix(tone, _DARK, 0.35), relief=FLAT - 12)
    board.disc((0, 0), bore, relief=FLAT - 60, alpha=0)
    layers = replace(board.layers(shine=24, thickness=0.05), brushing="round")
    radius, _ = polar(n)
    texture = np.sin(radius * np.float32(min(n * 0.9, 260))) * np.float32(0.6) + noise.white(rng, n)
    layers.albedo[:] = np.clip(layers.albedo * (1 + np.float32(0.022) * texture[..., None]), 0, 1)
    layers.height[:] += cv2.GaussianBlur(texture, (0, 0), 0.6) * np.float32(0.04 * n / 256)
    return layers


_METAL = ("scratch", "rust", "dent", "contamination", "discolouration")

BRACKET = Family(
    "bracket",
    "metal bracket",
    "object",
    (*_METAL, "crack", "missing part", "bent", "stain"),
    _bracket_design,
    _draw_bracket,
    ("sheet metal bracket", "stamped part", "mounting bracket", "stamped bracket"),
    frozenset({"missing part", "bent"}),
)
BALL_BEARING = Family(
    "ball_bearing",
    "ball bearing",
    "object",
    (*_METAL, "crack", "missing part", "chipped edge"),
    _bearing_design,
    _draw_bearing,
    ("bearing", "roller bearing", "deep groove bearing"),
    frozenset({"missing part"}),
)
