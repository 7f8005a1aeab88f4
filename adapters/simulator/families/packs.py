"""``GLASS_VIAL``, ``TUBE`` and ``BLISTER_PACK``."""

from dataclasses import replace
from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers, Point, units
from adapters.simulator.colour import PALETTE, RGB, contrast_to, mix, pick, vary
from adapters.simulator.families.plastic import moulded
from adapters.simulator.family import Change, Design, Family
from adapters.simulator.shapes import Outline

_DARK: RGB = (0.05, 0.05, 0.055)
_WHITE: RGB = (1.0, 1.0, 1.0)
_FOIL: RGB = (0.72, 0.73, 0.75)

# glass vial

_GLASS: dict[str, RGB] = {
    "clear": (0.80, 0.84, 0.84),
    "brown": (0.42, 0.24, 0.10),
    "blue": (0.30, 0.44, 0.62),
}
_LIQUIDS: tuple[RGB, ...] = (
    (0.78, 0.82, 0.86),
    (0.86, 0.72, 0.30),
    (0.74, 0.26, 0.24),
    (0.90, 0.90, 0.88),
    (0.36, 0.56, 0.70),
    (0.50, 0.66, 0.40),
)


def _vial_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("clear", "clear", "brown", "blue"))
    return {
        "colour": colour,
        "material": "glass",
        "tone": vary(rng, _GLASS[colour], 0.04),
        "alpha": float(rng.uniform(0.6, 0.8) if colour == "clear" else rng.uniform(0.8, 0.95)),
        "wide": float(rng.uniform(0.2, 0.42)),
        "neck": float(rng.uniform(0.45, 0.8)),
        "shoulder": float(rng.uniform(-0.5, -0.3)),
        "level": float(rng.uniform(-0.25, 0.4)),
        "liquid": vary(rng, _LIQUIDS[int(rng.integers(len(_LIQUIDS)))], 0.05),
        "button": vary(rng, PALETTE[pick(rng)]),
        "crimp": vary(rng, _FOIL, 0.04),
        "label": float(rng.uniform(0.15, 0.4)) if rng.random() < 0.35 else 0.0,
        "text": "".join(rng.choice(list("ABCDEFGHKLMNPRSTX"), 5)),
        "gloss": float(rng.uniform(0.5, 1.0)),
        "upright": bool(rng.random() < 0.6),
    }


def _cap(board: Canvas, design: Design, change: Change | None) -> None:
    """The metal crimp with its coloured button; a defect tilts it or takes the button away."""
    half = design["wide"] * design["neck"] + 0.03
    turn, gone = 0.0, False
    if change is not None:
        gone = change.kind == "missing part"
        turn = 0.0 if gone else float(change.rng.choice((-1, 1))) * (0.08 + 0.22 * change.extent)
    crimp = shapes.turned(shapes.rectangle(half, 0.075, 0.02), turn, (0.0, -0.68))
    board.polygon(crimp, design["crimp"], gloss=0.6, relief=FLAT, alpha=255)
    for k in range(9):
        rib = np.array([(half * (k - 4) / 4.5, -0.05), (half * (k - 4) / 4.5, 0.06)])
        board.stroke(shapes.turned(rib, turn, (0.0, -0.68)), 0.008, mix(design["crimp"], _DARK, 0.25))
    if not gone:
        button = shapes.turned(np.array([(0.0, -0.1)]), turn, (0.0, -0.68))[0]
        top = shapes.turned(
            shapes.rectangle(half * 0.94, 0.045, 0.02), turn, (float(button[0]), float(button[1]))
        )
        board.polygon(top, design["button"], gloss=0.3, relief=FLAT, alpha=255)


def _draw_vial(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, wide, shoulder = design["tone"], design["wide"], design["shoulder"]
    clear = round(255 * design["alpha"])
    narrow = wide * design["neck"]
    board = Canvas(n, mix(tone, _DARK, 0.25), design["gloss"])
    body = shapes.moved(shapes.rectangle(wide, (0.84 - shoulder) / 2, 0.07), (0, (0.84 + shoulder) / 2))
    neck = [(-narrow, -0.65), (narrow, -0.65), (narrow, shoulder - 0.08), (wide * 0.96, shoulder + 0.06)]
    neck += [(-wide * 0.96, shoulder + 0.06), (-narrow, shoulder - 0.08)]
    for outline in (body, np.array(neck)):
        board.polygon(outline, mix(tone, _DARK, 0.3), alpha=clear)
        board.polygon(outline * (0.9, 1.0) + (0, -0.012), tone)
    level = design["level"] + float(rng.normal(0, 0.012))
    fill = shapes.rectangle(wide * 0.88, (0.79 - level) / 2, 0.05)
    fill = shapes.moved(fill, (0, (0.79 + level) / 2))
    board.polygon(fill, mix(design["liquid"], tone, 0.35), alpha=round(255 * min(design["alpha"] + 0.12, 1)))
    meniscus = np.array([(-wide * 0.88, level - 0.015), (0, level + 0.01), (wide * 0.88, level - 0.015)])
    board.stroke(meniscus, 0.02, mix(design["liquid"], _WHITE, 0.45))
    if design["label"]:
        middle = (0.84 + shoulder) / 2
        tag = shapes.moved(shapes.rectangle(wide, design["label"] / 2), (0, middle))
        board.polygon(tag, (0.92, 0.92, 0.9), gloss=0.1, alpha=255)
        board.text(design["text"], (0, middle - 0.02), wide * 0.28, (0.1, 0.12, 0.3), bold=True)
    _cap(board, design, change)
    layers = board.layers(shine=50, thickness=0.07)
    x, y = units(n)
    rows = y[:, 0]
    half = np.interp(
        rows,
        (-1, -0.65, shoulder - 0.08, shoulder + 0.06, 0.8, 0.84),
        (narrow,) * 3 + (wide,) * 2 + (wide * 0.8,),
    )
    across = x / half.astype(np.float32)[:, None]
    round_ = np.sqrt(np.maximum(1 - across * across, 0))
    layers.height[:] += round_ * np.float32(0.22 * wide * n)
    # The wall is seen edge on at both sides, and the lamp stands in it as two long streaks.
    streak = np.exp(-np.square((across + 0.62) * 14)) + np.float32(0.5) * np.exp(
        -np.square((across - 0.7) * 18)
    )
    glassy = layers.gloss > 0.45
    layers.albedo[:] += ((1 - layers.albedo) * np.float32(0.5) * (streak * glassy)[..., None]).astype(
        np.float32
    )
    layers.albedo[:] *= (np.float32(0.8) + np.float32(0.2) * round_)[..., None]
    layers = moulded(layers, rng, 0.006)
    if design["upright"]:
        return layers
    flipped = (np.ascontiguousarray(plane.T) for plane in (layers.height, layers.gloss, layers.alpha))
    height, gloss, alpha = flipped
    albedo = np.ascontiguousarray(layers.albedo.transpose(1, 0, 2))
    return replace(layers, albedo=albedo, height=height, gloss=gloss, alpha=alpha)


# tube

_BRANDS = ("DENTA", "LUMEA", "CREMA", "FRESKO", "ALOE", "MEDI", "GLUE 5", "SENSI", "FIXOR", "NIVOL")


def _tube_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    tone = vary(rng, PALETTE[colour])
    metal = bool(rng.random() < 0.3)
    return {
        "colour": "silver" if metal else colour,
        "material": "aluminium" if metal else "plastic",
        "tone": vary(rng, _FOIL, 0.04) if metal else tone,
        "band": vary(rng, PALETTE[pick(rng)]),
        "ink": contrast_to(rng, tone),
        "cap": vary(rng, PALETTE[pick(rng, ("white", "black", "red", "blue", "green", "grey"))]),
        "half": float(rng.uniform(0.2, 0.32)),
        "brand": _BRANDS[int(rng.integers(len(_BRANDS)))],
        "small": "".join(rng.choice(list("0123456789"), 2)) + " ml",
        "style": int(rng.integers(3)),
        "flare": float(rng.uniform(0.0, 0.08)),
        "gloss": float(rng.uniform(0.3, 0.8)),
        "cap_long": float(rng.uniform(0.12, 0.24)),
    }


def _draw_tube(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, half, ink = design["tone"], design["half"], design["ink"]
    kind = change.kind if change is not None else ""
    shift, fade, way = np.zeros(2), 1.0, -1
    if change is not None and kind == "misprint":
        way = int(change.rng.integers(3))
        shift = change.rng.normal(0, 1, 2) * (0.04 + 0.06 * change.extent) if way == 0 else shift
        fade = 0.7 - 0.65 * change.strength if way == 1 else 1.0
    board = Canvas(n, mix(tone, _DARK, 0.2), design["gloss"])
    end, wide = 0.5, half + design["flare"]
    crimp = np.array([(-0.84, -wide), (-0.72, -wide), (-0.72, wide), (-0.84, wide)])
    if change is not None and kind == "bent":
        corner = 3 if change.rng.random() < 0.5 else 0
        crimp[corner] += (
            0.05 + 0.07 * change.extent,
            -np.sign(crimp[corner, 1]) * (0.05 + 0.2 * change.extent),
        )
    board.polygon(crimp, mix(tone, _DARK, 0.1), alpha=255)
    body = [(-0.73, -wide), (end - 0.05, -half), (end, -half * 0.9), (end + 0.08, -half * 0.4)]
    body = body + [(x, -y) for x, y in body[::-1]]
    board.polygon(np.array(body), tone, alpha=255)
    for k in range(4):
        board.stroke(
            [(-0.82 + 0.03 * k, -wide), (-0.82 + 0.03 * k, wide)],
            0.01,
            mix(tone, _DARK, 0.3),
            relief=FLAT - 6,
        )
    style = design["style"]
    if style == 0:
        board.polygon(
            np.array([(-0.65, 0.35 * half), (0.42, 0.35 * half), (0.42, 0.75 * half), (-0.65, 0.75 * half)]),
            design["band"],
        )
    elif style == 1:
        wave = np.linspace(-0.65, 0.42, 30)
        board.stroke(
            np.stack([wave, 0.5 * half + 0.1 * half * np.sin(wave * 9)], 1), 0.25 * half, design["band"]
        )
    else:
        board.polygon(np.array([(-0.68, -half), (-0.5, -half), (-0.38, half), (-0.68, half)]), design["band"])
    if way != 2:
        at = (float(shift[0]), float(shift[1]) - 0.2 * half)
        board.text(design["brand"], at, 0.55 * half, mix(tone, ink, fade), bold=True)
    board.text(design["small"], (0.32, 0.55 * half), 0.2 * half, ink)
    if kind != "missing part":
        cap = shapes.moved(
            shapes.rectangle(design["cap_long"] / 2, half * 0.75, 0.02),
            (end + 0.06 + design["cap_long"] / 2, 0),
        )
        board.polygon(cap, design["cap"], gloss=0.3, alpha=255)
        for k in range(9):
            y = half * 0.7 * (k - 4) / 4.5
            board.stroke(
                [(end + 0.08, y), (end + 0.02 + design["cap_long"], y)], 0.01, mix(design["cap"], _DARK, 0.3)
            )
    else:
        nozzle = shapes.moved(shapes.rectangle(0.05, half * 0.25), (end + 0.11, 0))
        board.polygon(nozzle, mix(tone, _WHITE, 0.3), alpha=255)
    layers = moulded(board.layers(shine=30, thickness=0.07), rng)
    x, y = units(n)
    # Flat at the crimp, round at the shoulder.
    swell = np.clip((x + np.float32(0.8)) / np.float32(1.2), 0, 1)
    inside = np.maximum(1 - np.square(y / np.float32(half + 0.04)), 0)
    layers.height[:] += np.sqrt(inside + np.float32(0.02)) * swell * np.float32(0.16 * half * n)
    layers.height[:] += (
        noise.clouds(rng, n, 0.3) * np.float32(0.0025 * n) * (design["material"] == "aluminium")
    )
    return layers


# blister pack


def _blister_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("white", "pink", "yellow", "orange", "light blue", "green", "red", "beige"))
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    return {
        "colour": "silver",
        "material": "foil and plastic",
        "tone": vary(rng, _FOIL if rng.random() < 0.7 else (0.86, 0.86, 0.85), 0.04),
        "pill": vary(rng, PALETTE[colour], 0.04),
        "second": vary(rng, PALETTE[pick(rng)]) if rng.random() < 0.3 else None,
        "cells": (columns, rows),
        "long": float(rng.uniform(1.0, 1.7)),
        "size": float(rng.uniform(0.26, 0.34)),
        "clear": float(rng.uniform(0.1, 0.4)),
        "knurl": float(rng.uniform(0.0, 0.05)),
        "score": bool(rng.random() < 0.6),
        "gloss": float(rng.uniform(0.4, 0.9)),
    }


def _cavity_tone(design: Design) -> RGB:
    """The tone of an empty pocket: dark or bright foil, whichever is further from the tablet."""
    tablets = [np.array(tone) for tone in (design["pill"], design["second"]) if tone is not None]
    tones = (mix(design["tone"], _DARK, 0.64), mix(design["tone"], _WHITE, 0.2))
    return max(tones, key=lambda tone: min(float(np.abs(tablet - tone).sum()) for tablet in tablets))


def _cavity(board: Canvas, design: Design, half: Point, at: Point, rng: np.random.Generator) -> None:
    """An empty pocket: the foil deep below, its wall in shade, creases where the tablet was pushed out."""
    tone, corner = _cavity_tone(design), min(half)
    for size, shade, depth in ((1.1, 0.55, 26), (0.98, 0.3, 4), (0.84, 0.0, -16)):
        outline = shapes.rectangle(half[0] * size, half[1] * size, corner * size)
        colour = mix(tone, _DARK, shade)
        board.polygon(shapes.moved(outline, at), colour, relief=FLAT + depth, gloss=0.15)
    for _ in range(3):
        ends = rng.uniform(-0.6, 0.6, (2, 2)) * half + np.asarray(at)
        board.stroke(ends, 0.008, mix(tone, _DARK, 0.3), relief=FLAT - 22)


def _tablet(half: Point, change: Change | None) -> tuple[Outline, float]:
    """A tablet's outline about its middle, and how far it reaches to the right; a defect breaks that off."""
    shape = shapes.rectangle(half[0] * 0.92, half[1] * 0.92, min(half) * 0.92)
    if change is None:
        return shape, half[0]
    cut = float(change.rng.uniform(-0.5, 0.2) * half[0])
    rough = change.rng.normal(0, 0.05, len(shape)) * half[0]
    return np.stack([np.minimum(shape[:, 0], cut + rough), shape[:, 1]], 1), cut


def _draw_tablet(
    board: Canvas, design: Design, half: Point, place: Point, tilt: float, change: Change | None
) -> None:
    pill = design["pill"]
    shape, reach = _tablet(half, change)
    board.polygon(shapes.turned(shape, tilt, place), mix(pill, _DARK, 0.15), relief=FLAT + 52)
    board.polygon(shapes.turned(shape * 0.88, tilt, place), pill, relief=FLAT + 62)
    if reach < 0.1 * half[0]:  # the middle broke away, and with it what would be drawn there
        return
    if design["second"] is not None:
        other = np.maximum(shape * 0.9, (0.0, -9.0))
        board.polygon(shapes.turned(other, tilt, place), design["second"], relief=FLAT + 62)
    elif design["score"]:
        groove = shapes.turned(np.array([(0.0, -0.7), (0.0, 0.7)]) * half[1], tilt, place)
        board.stroke(groove, 0.014, mix(pill, _DARK, 0.25), relief=FLAT + 50)


def _pocket(board: Canvas, design: Design, half: Point, at: Point) -> None:
    tone, corner = design["tone"], min(half)
    outer = shapes.rectangle(half[0] * 1.2, half[1] * 1.2, corner * 1.2)
    inner = shapes.rectangle(half[0] * 1.1, half[1] * 1.1, corner * 1.1)
    board.polygon(shapes.moved(outer, at), mix(tone, _DARK, 0.3), relief=FLAT + 22, gloss=design["gloss"])
    board.polygon(shapes.moved(inner, at), mix(tone, _DARK, 0.2), relief=FLAT + 40)


def _draw_blister(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    columns, rows = design["cells"]
    tone = design["tone"]
    pitch = min(1.56 / max(columns * min(design["long"], 1.35), rows), 0.6)
    step = (pitch * min(design["long"], 1.35), pitch)
    w, h = step[0] * columns / 2 + 0.06, step[1] * rows / 2 + 0.06
    board = Canvas(n, mix(tone, _DARK, 0.2), design["gloss"])
    board.polygon(shapes.rectangle(w, h, 0.06), tone, relief=FLAT, alpha=255)
    struck = int(change.rng.integers(columns * rows)) if change is not None else -1
    broken = change is not None and change.rng.random() < 0.4
    radius = design["size"] * pitch
    half = (min(radius * design["long"], step[0] * 0.42), radius)
    for k in range(columns * rows):
        at = (step[0] * (k % columns - (columns - 1) / 2), step[1] * (k // columns - (rows - 1) / 2))
        _pocket(board, design, half, at)
        # Drawn before the defect is looked at, so that the other tablets lie as in the good part.
        play, tilt = rng.normal(0, 0.03 * radius, 2), float(rng.normal(0, 0.05))
        hit = change if k == struck else None
        if hit is not None:
            _cavity(board, design, half, at, hit.rng)
        if hit is None or broken:
            place = (at[0] + float(play[0]), at[1] + float(play[1]))
            _draw_tablet(board, design, half, place, tilt, hit)
    layers = board.layers(shine=40, thickness=0.04, round_edges=0.008)
    x, y = units(n)
    knurl = np.sin((x + y) * np.float32(90)) * np.sin((x - y) * np.float32(90)) * np.float32(design["knurl"])
    foil = noise.clouds(rng, n, 0.1) * np.float32(0.012)
    layers.albedo[:] = np.clip(layers.albedo * (1 + (knurl + foil)[..., None]), 0, 1)
    layers.albedo[:] += (np.float32(0.85) - layers.albedo) * np.float32(0.3 * design["clear"])
    layers.height[:] += noise.clouds(rng, n, 0.08) * np.float32(0.0012 * n)
    return layers


GLASS_VIAL = Family(
    "glass_vial",
    "glass vial",
    "object",
    ("crack", "scratch", "contamination", "stain", "chipped edge", "missing part", "bent"),
    _vial_design,
    _draw_vial,
    ("vial", "ampoule", "injection bottle", "medicine bottle"),
    frozenset({"missing part", "bent"}),
)
TUBE = Family(
    "tube",
    "tube",
    "object",
    (
        "dent",
        "scratch",
        "misprint",
        "missing part",
        "bent",
        "stain",
        "cut",
        "contamination",
        "discolouration",
    ),
    _tube_design,
    _draw_tube,
    ("toothpaste tube", "squeeze tube", "tube of cream"),
    frozenset({"misprint", "missing part", "bent"}),
)
BLISTER_PACK = Family(
    "blister_pack",
    "blister pack",
    "object",
    ("missing part", "dent", "contamination", "cut", "stain", "hole", "discolouration", "crack"),
    _blister_design,
    _draw_blister,
    ("pill pack", "blister", "strip of tablets"),
    frozenset({"missing part"}),
)
