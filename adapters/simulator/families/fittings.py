"""``COVER`` (moulded) and ``ZIPPER``."""

from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers, units
from adapters.simulator.colour import METALS, PALETTE, RGB, mix, pick, vary
from adapters.simulator.families.plastic import moulded
from adapters.simulator.family import Change, Design, Family

_DARK: RGB = (0.05, 0.05, 0.055)
_WHITE: RGB = (1.0, 1.0, 1.0)

# moulded cover


def _cover_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    w, h = float(rng.uniform(0.55, 0.8)), float(rng.uniform(0.4, 0.76))
    if rng.random() < 0.3:
        w = h = float(rng.uniform(0.6, 0.78))
    inset = float(rng.uniform(0.14, 0.2))
    bosses = [(sx * (w - inset), sy * (h - inset)) for sx in (-1, 1) for sy in (-1, 1)]
    return {
        "colour": colour,
        "material": "plastic",
        "tone": vary(rng, PALETTE[colour]),
        "size": (w, h),
        "corner": h if w == h else float(rng.choice((0.04, 0.12, 0.3))),
        "bosses": [] if w == h else bosses[: int(rng.choice((2, 3, 4)))],
        "boss": float(rng.uniform(0.05, 0.085)),
        "pattern": str(rng.choice(("ribs", "grid", "vents", "rays", "honeycomb", "window"))),
        "count": int(rng.integers(4, 10)),
        "bar": float(rng.uniform(0.018, 0.035)),
        "tabs": bool(rng.random() < 0.5),
        "text": "".join(rng.choice(list("ABCDEFGHKLMNPRSTX0123456789"), int(rng.integers(2, 6)))),
        "gloss": float(rng.uniform(0.05, 0.5)),
        "eroded": float(rng.uniform(0.0, 0.03)),
    }


def _bars(design: Design) -> list[shapes.Outline]:
    """What stands on or is cut into the face: ribs, a grid, slots, rays, cells; each a closed outline."""
    w, h = (v * 0.62 for v in design["size"])
    count, half = design["count"], design["bar"] / 2
    steps = np.linspace(-1, 1, count)
    pattern = design["pattern"]
    if pattern in ("ribs", "vents"):
        return [shapes.moved(shapes.rectangle(half * 1.6, h, half), (float(s) * w, 0)) for s in steps]
    if pattern == "grid":
        upright = [shapes.moved(shapes.rectangle(half, h), (float(s) * w, 0)) for s in steps]
        return upright + [shapes.moved(shapes.rectangle(w, half), (0, float(s) * h)) for s in steps[::2]]
    if pattern == "rays":
        ray = shapes.moved(shapes.rectangle(min(w, h) * 0.42, half), (min(w, h) * 0.58, 0))
        return [shapes.turned(ray, 2 * np.pi * k / (count + 3)) for k in range(count + 3)]
    if pattern == "honeycomb":
        pitch = 2 * w / count
        cells = []
        for j in range(max(int(2 * h / (pitch * 0.87)), 1) + 1):
            y = -h + j * pitch * 0.87
            cells += [
                shapes.circle(pitch * 0.42, 6, (-w + (i + 0.5 * (j % 2)) * pitch, y)) for i in range(count)
            ]
        return cells
    return [shapes.rectangle(w * 0.8, h * 0.6, 0.06)]


def _draw_cover(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, (w, h), corner = design["tone"], design["size"], design["corner"]
    bars = _bars(design)
    kind = change.kind if change is not None else ""
    lost = int(change.rng.integers(len(bars) + len(design["bosses"]))) if change else -1
    board = Canvas(n, mix(tone, _DARK, 0.25), design["gloss"])
    tabs = [(s * w * 0.5, side * (h + 0.02)) for s in (-1, 1) for side in (-1, 1)] if design["tabs"] else []
    for x, y in tabs:
        board.polygon(
            shapes.moved(shapes.rectangle(0.07, 0.06, 0.015), (x, y)), tone, relief=FLAT - 20, alpha=255
        )
    board.polygon(shapes.rectangle(w, h, corner), relief=FLAT - 30, alpha=255)
    board.polygon(shapes.rectangle(w - 0.02, h - 0.02, corner), tone, relief=FLAT + 20)
    board.polygon(shapes.rectangle(w - 0.06, h - 0.06, corner), mix(tone, _DARK, 0.06), relief=FLAT - 10)
    raised = design["pattern"] in ("ribs", "grid", "rays")
    open_ = design["pattern"] in ("vents", "honeycomb")
    for k, bar in enumerate(bars):
        shape = bar
        if kind == "missing part" and k == lost and change is not None:
            if design["pattern"] in ("honeycomb", "window"):
                continue
            # A short shot: the rib ends where the melt did.
            middle = bar.mean(0)
            shape = (bar - middle) * (0.75 - 0.7 * change.extent) + middle
        if raised:
            board.polygon(shape, mix(tone, _WHITE, 0.08), relief=FLAT + 34)
        elif open_:
            board.polygon(shape, (0.04, 0.04, 0.045), relief=FLAT - 70, gloss=0.0)
        else:
            board.polygon(shape, mix(tone, (0.3, 0.34, 0.38), 0.75), relief=FLAT - 16, gloss=0.9)
    for k, at in enumerate(design["bosses"]):
        if kind == "missing part" and k + len(bars) == lost:
            board.disc(at, design["boss"] * 0.9, mix(tone, _WHITE, 0.2), relief=FLAT - 4)
            continue
        board.disc(at, design["boss"], tone, relief=FLAT + 44)
        board.disc(at, design["boss"] * 0.5, mix(tone, _DARK, 0.8), relief=FLAT - 50, gloss=0.0)
    board.text(design["text"], (0, h * 0.8), 0.07, mix(tone, _DARK, 0.15), relief=FLAT + 6, bold=True)
    layers = moulded(board.layers(shine=20, thickness=0.05), rng)
    eroded = np.float32(design["eroded"]) * noise.white(rng, n)
    layers.albedo[:] = np.clip(layers.albedo * (1 + eroded[..., None]), 0, 1)
    layers.height[:] += eroded * np.float32(0.02 * n)
    return layers


# zipper


def _zipper_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    tone = vary(rng, PALETTE[colour])
    metal = bool(rng.random() < 0.5)
    alloy = pick(rng, ("brass", "aluminium", "copper", "blackened steel"))
    return {
        "colour": colour,
        "material": "fabric and metal" if metal else "fabric and plastic",
        "tape": tone,
        "teeth": vary(rng, METALS[alloy], 0.05) if metal else vary(rng, PALETTE[pick(rng)]),
        "count": int(rng.integers(18, 38)),
        "half": float(rng.uniform(0.24, 0.42)),
        "reach": float(rng.uniform(0.07, 0.12)),
        "weave": int(rng.integers(36, 70)),
        "gloss": 0.7 if metal else 0.3,
        "round": bool(rng.random() < 0.4),
        "stitch": bool(rng.random() < 0.5),
        "slider": float(rng.uniform(-0.5, 0.5)) if rng.random() < 0.4 else 9.0,
    }


def _draw_zipper(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tape, half, reach, count = design["tape"], design["half"], design["reach"], design["count"]
    board = Canvas(n, tape, 0.03)
    board.polygon(shapes.rectangle(0.86, half), tape, relief=FLAT - 20, alpha=255)
    for side in (-1, 1):
        edge = np.array([(-0.86, side * (reach * 1.35)), (0.86, side * (reach * 1.35))])
        board.stroke(edge, 0.05, mix(tape, _WHITE, 0.06), relief=FLAT)
        if design["stitch"]:
            for x in np.linspace(-0.83, 0.83, 42):
                board.stroke(
                    [(x, side * half * 0.72), (x + 0.02, side * half * 0.72)], 0.012, mix(tape, _WHITE, 0.35)
                )
    board.stroke([(-0.86, 0), (0.86, 0)], reach * 0.9, mix(tape, _DARK, 0.55), relief=FLAT - 30)
    pitch = 1.68 / count
    struck = int(change.rng.integers(2, count - 3)) if change is not None else -9
    length = 1 + int(change.extent * 2.4) if change is not None else 0
    push = float(change.rng.choice((-1, 1))) * (0.3 + 0.4 * change.extent) if change is not None else 0.0
    lean = push * 1.2
    for k in range(count):
        side = 1 if k % 2 else -1
        x, y, turn = -0.84 + (k + 0.5) * pitch, side * reach * 0.35, 0.0
        if struck <= k < struck + length:
            if change is not None and change.kind == "missing part":
                continue
            y, turn, x = y + side * abs(push) * reach, lean, x + push * pitch * 0.6
        tooth = shapes.rectangle(pitch * 0.42, reach * 0.85, pitch * 0.42 if design["round"] else 0.01)
        board.polygon(
            shapes.turned(tooth, turn, (x, y)),
            mix(design["teeth"], _DARK, 0.25),
            relief=FLAT + 20,
            gloss=design["gloss"],
        )
        board.polygon(
            shapes.turned(tooth * 0.72, turn, (x, y)),
            design["teeth"],
            relief=FLAT + 40,
            gloss=design["gloss"],
        )
    if design["slider"] < 2:
        at = (design["slider"] + float(rng.normal(0, 0.004)), 0.0)
        body = np.array([(-0.11, -0.15), (0.09, -0.11), (0.11, 0.0), (0.09, 0.11), (-0.11, 0.15)])
        board.polygon(shapes.moved(body, at), mix(design["teeth"], _DARK, 0.15), relief=FLAT + 60, gloss=0.7)
        pull = shapes.moved(shapes.rectangle(0.13, 0.045, 0.03), (at[0] - 0.08, 0))
        board.polygon(pull, mix(design["teeth"], _WHITE, 0.15), relief=FLAT + 90, gloss=0.7)
    layers = board.layers(shine=22, thickness=0.03)
    x, y = units(n)
    woven = np.sin(x * np.float32(np.pi * design["weave"])) * np.sin(y * np.float32(np.pi * design["weave"]))
    cloth = np.clip(1 - layers.gloss * 6, 0, 1)
    texture = (woven * np.float32(0.08) + noise.white(rng, n) * np.float32(0.04)) * cloth
    layers.albedo[:] = np.clip(layers.albedo * (1 + texture[..., None]), 0, 1)
    layers.height[:] += texture * np.float32(0.02 * n)
    return layers


COVER = Family(
    "plastic_cover",
    "plastic cover",
    "object",
    (
        "missing part",
        "scratch",
        "crack",
        "dent",
        "stain",
        "discolouration",
        "chipped edge",
        "contamination",
        "hole",
    ),
    _cover_design,
    _draw_cover,
    ("plastic housing", "moulded cover", "injection-moulded part", "plastic lid"),
    frozenset({"missing part"}),
)
ZIPPER = Family(
    "zipper",
    "zipper",
    "object",
    ("missing part", "bent", "cut", "hole", "stain", "contamination", "discolouration"),
    _zipper_design,
    _draw_zipper,
    ("zip fastener", "zip", "zipper strip"),
    frozenset({"missing part", "bent"}),
)
