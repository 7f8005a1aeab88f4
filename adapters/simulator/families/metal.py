"""``MACHINED_PLATE``, ``GEAR``, ``CAST_HOUSING`` and ``SCREW``: metal parts."""

from dataclasses import replace
from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers
from adapters.simulator.colour import METALS, mix, pick, vary
from adapters.simulator.family import Change, Design, Family

_TONE = {
    "steel": "silver",
    "aluminium": "silver",
    "brass": "golden",
    "copper": "copper-coloured",
    "cast iron": "dark grey",
    "blackened steel": "black",
}


def alloy(rng: np.random.Generator, names: tuple[str, ...]) -> dict[str, Any]:
    """One of the metals: the design's words and its tone."""
    material = pick(rng, names)
    return {"material": material, "colour": _TONE[material], "tone": vary(rng, METALS[material], 0.04)}


def finished(layers: Layers, rng: np.random.Generator, finish: str, amount: float) -> Layers:
    """Brushed, turned, blasted or cast: the texture of a metal face, which differs from part to part."""
    n = layers.alpha.shape[0]
    if finish == "brushed":
        texture = noise.streaks(rng, n, 0.5, 0.004) * 0.7 + noise.streaks(rng, n, 0.15, 0.008) * 0.4
        relief = 0.10
    elif finish == "turned":
        line = np.linspace(-1, 1, n, dtype=np.float32)
        radius = np.hypot(*np.meshgrid(line, line))
        texture = np.sin(radius * np.float32(min(n * 0.9, 190))) * 0.7 + 0.3 * noise.white(rng, n)
        relief = 0.16
    elif finish == "cast":
        texture = 0.6 * noise.fractal(rng, n, 0.05, 3) + 0.5 * noise.white(rng, n)
        relief = 0.28
    else:
        texture = 0.8 * noise.white(rng, n) + 0.3 * noise.fractal(rng, n, 0.2)
        relief = 0.12
    texture = texture.astype(np.float32)
    layers.albedo[:] *= (1 + np.float32(amount) * texture)[..., None]
    np.clip(layers.albedo, 0, 1, out=layers.albedo)
    layers.height[:] += texture * np.float32(relief * n / 256)
    return layers


# machined plate


def _plate_design(rng: np.random.Generator) -> dict[str, Any]:
    width, height = rng.uniform(0.6, 0.82), rng.uniform(0.5, 0.8)
    corner = float(rng.choice((0.0, 0.05, 0.12, 0.3)))
    inset = rng.uniform(0.12, 0.2)
    radius = rng.uniform(0.05, 0.1)
    holes = [(sx * (width - inset), sy * (height - inset)) for sx in (-1, 1) for sy in (-1, 1)]
    if rng.random() < 0.3:
        holes = holes[: int(rng.choice((2, 3)))]
    pattern = int(rng.integers(5))
    extra: list[tuple[float, float, float]] = []
    if pattern == 0:
        extra = [(0.0, 0.0, float(rng.uniform(0.15, 0.3)))]
    elif pattern == 1:
        extra = [(float(x), 0.0, 0.06) for x in np.linspace(-0.35, 0.35, int(rng.integers(2, 5)))]
    elif pattern == 2:
        ring = shapes.circle(rng.uniform(0.22, 0.32), int(rng.integers(4, 9)))
        extra = [(float(x), float(y), 0.045) for x, y in ring] + [(0.0, 0.0, 0.1)]
    letters = "".join(rng.choice(list("ABCDEFHKMNPRSTX0123456789"), int(rng.integers(3, 7))))
    return {
        **alloy(rng, ("steel", "steel", "aluminium", "brass", "blackened steel", "copper")),
        "outline": (float(width), float(height), corner),
        "holes": [(float(x), float(y), float(radius)) for x, y in holes] + extra,
        "countersunk": bool(rng.random() < 0.5),
        "slot": pattern == 3,
        "pocket": pattern == 4,
        "text": letters if rng.random() < 0.5 else "",
        "text_y": float((height - inset) * rng.choice((-1, 1)) * 0.98 if pattern != 4 else 0.0),
        "finish": str(rng.choice(("brushed", "brushed", "blasted", "turned"))),
        "gloss": float(rng.uniform(0.15, 0.5)),
    }


def _draw_plate(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    width, height, corner = design["outline"]
    board = Canvas(n, mix(tone, (0.1, 0.1, 0.1), 0.3), design["gloss"])
    board.polygon(shapes.rectangle(width, height, corner), relief=FLAT - 14, alpha=255)
    board.polygon(shapes.rectangle(width - 0.025, height - 0.025, corner), tone, relief=FLAT)
    holes = list(design["holes"])
    skipped = -1
    text = design["text"]
    if change is not None and change.kind == "missing part":
        skipped = int(change.rng.integers(len(holes)))
        text = "" if change.rng.random() < 0.2 else text
    if design["pocket"]:
        pocket = shapes.rectangle(width * 0.55, height * 0.5, 0.06)
        board.polygon(pocket, mix(tone, (0.1, 0.1, 0.1), 0.12), relief=FLAT - 60)
    if design["slot"]:
        board.polygon(
            shapes.rectangle(width * 0.5, 0.06, 0.06), (0.04, 0.04, 0.045), relief=FLAT - 70, gloss=0.0
        )
    dark = (0.04, 0.04, 0.045)
    for k, (x, y, radius) in enumerate(holes):
        if k == skipped:
            continue
        if design["countersunk"] and radius < 0.12:
            board.disc((x, y), radius * 1.55, mix(tone, dark, 0.15), relief=FLAT - 22)
        else:
            board.disc((x, y), radius * 1.12, mix(tone, (1, 1, 1), 0.15), relief=FLAT - 8)
        board.disc((x, y), radius, dark, relief=FLAT - 70, gloss=0.0)
    if text:
        board.text(text, (0, design["text_y"]), 0.1, mix(tone, dark, 0.55), relief=FLAT - 18)
    layers = board.layers(shine=18, thickness=0.03)
    return finished(layers, rng, design["finish"], 0.055)


# gear


def _gear_design(rng: np.random.Generator) -> dict[str, Any]:
    return {
        **alloy(rng, ("steel", "steel", "brass", "blackened steel", "cast iron")),
        "teeth": int(rng.integers(12, 40)),
        "depth": float(rng.uniform(0.09, 0.16)),
        "bore": float(rng.uniform(0.12, 0.24)),
        "hub": float(rng.uniform(0.05, 0.12)),
        "key": bool(rng.random() < 0.6),
        "web": str(rng.choice(("plain", "holes", "recess", "spokes"))),
        "count": int(rng.integers(3, 7)),
        "finish": str(rng.choice(("turned", "turned", "blasted", "cast"))),
        "gloss": float(rng.uniform(0.15, 0.45)),
        "start": float(rng.uniform(0, 1)),
    }


def _teeth(design: Design, radius: float, change: Change | None) -> shapes.Outline:
    """The outline of a spur gear; a missing part takes one or more teeth away."""
    teeth, depth = int(design["teeth"]), float(design["depth"])
    gone: set[int] = set()
    if change is not None:
        first = int(change.rng.integers(teeth))
        gone = {(first + k) % teeth for k in range(1 + int(change.extent * 2.2))}
    points = []
    for k in range(teeth):
        angle = (k + design["start"]) * 2 * np.pi / teeth
        step = 2 * np.pi / teeth
        for part, reach in (
            (0.0, radius - depth),
            (0.22, radius - depth),
            (0.36, radius),
            (0.64, radius),
            (0.78, radius - depth),
        ):
            length = radius - depth if k in gone else reach
            points.append((np.cos(angle + part * step) * length, np.sin(angle + part * step) * length))
    return np.asarray(points)


def _draw_gear(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    dark = (0.05, 0.05, 0.055)
    hole_gone = change is not None and design["web"] == "holes" and change.rng.random() < 0.4
    outline = _teeth(design, 0.82, None if hole_gone else change)
    board = Canvas(n, mix(tone, dark, 0.25), design["gloss"])
    board.polygon(outline, relief=FLAT - 12, alpha=255)
    board.polygon(outline * 0.975, tone, relief=FLAT)
    root = 0.82 - design["depth"]
    bore, hub = design["bore"], design["bore"] + design["hub"]
    web = design["web"]
    if web in ("recess", "spokes", "holes"):
        board.disc((0, 0), root - 0.09, mix(tone, dark, 0.18), relief=FLAT - 34)
    middle = (hub + root - 0.09) / 2
    spread = (root - 0.09 - hub) * 0.36
    if web in ("holes", "spokes"):
        for k, (x, y) in enumerate(shapes.circle(middle, design["count"])):
            if k == 0 and hole_gone:
                continue
            board.disc((float(x), float(y)), spread * 1.1, mix(tone, (1, 1, 1), 0.12), relief=FLAT - 40)
            board.disc((float(x), float(y)), spread, dark, relief=FLAT - 80, gloss=0.0)
    board.disc((0, 0), hub, tone, relief=FLAT + 6)
    board.disc((0, 0), bore, dark, relief=FLAT - 80, gloss=0.0)
    if design["key"]:
        board.polygon(
            shapes.moved(shapes.rectangle(bore * 0.22, 0.05), (0, -bore - 0.01)),
            dark,
            relief=FLAT - 80,
            gloss=0.0,
        )
    return finished(board.layers(shine=16, thickness=0.045), rng, design["finish"], 0.05)


# cast housing


def _housing_design(rng: np.random.Generator) -> dict[str, Any]:
    return {
        **alloy(rng, ("cast iron", "aluminium", "aluminium", "steel")),
        "lobes": int(rng.integers(3, 7)),
        "body": float(rng.uniform(0.52, 0.64)),
        "bore": float(rng.uniform(0.2, 0.36)),
        "face": float(rng.uniform(0.06, 0.12)),
        "ribs": int(rng.choice((0, 0, 4, 6, 8))),
        "bolt": float(rng.uniform(0.05, 0.08)),
        "gloss": float(rng.uniform(0.08, 0.25)),
        "text": "".join(rng.choice(list("GCR0123456789"), 3)),
        "start": float(rng.uniform(0, 6.3)),
    }


def _draw_housing(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    dark = (0.05, 0.05, 0.055)
    board = Canvas(n, mix(tone, dark, 0.2), design["gloss"])
    lobes, body = int(design["lobes"]), float(design["body"])
    bolts = shapes.turned(shapes.circle(0.66, lobes), design["start"])
    for x, y in bolts:
        board.disc((float(x), float(y)), 0.17, relief=FLAT - 20, alpha=255)
        board.disc((float(x), float(y)), 0.155, tone, relief=FLAT - 4)
    board.disc((0, 0), body, mix(tone, dark, 0.1), relief=FLAT - 6, alpha=255)
    board.disc((0, 0), body - 0.03, tone, relief=FLAT + 12)
    skipped = int(change.rng.integers(lobes)) if change is not None else -1
    for k, (x, y) in enumerate(bolts):
        if k != skipped:
            board.disc(
                (float(x), float(y)), design["bolt"] * 1.35, mix(tone, (1, 1, 1), 0.2), relief=FLAT - 4
            )
            board.disc((float(x), float(y)), design["bolt"], dark, relief=FLAT - 90, gloss=0.0)
    for k in range(design["ribs"]):
        angle = design["start"] + (k + 0.5) * 2 * np.pi / design["ribs"]
        ray = np.array([(np.cos(angle), np.sin(angle))])
        board.stroke(
            np.concatenate([ray * (design["bore"] + 0.1), ray * (body - 0.05)]), 0.045, relief=FLAT + 40
        )
    face = mix(tone, (1, 1, 1), 0.25)
    board.disc(
        (0, 0), design["bore"] + design["face"], face, relief=FLAT + 34, gloss=min(design["gloss"] + 0.3, 1)
    )
    board.disc((0, 0), design["bore"], mix(tone, dark, 0.55), relief=FLAT - 30, gloss=0.1)
    board.disc((0.0, 0.0), design["bore"] * 0.8, dark, relief=FLAT - 90, gloss=0.0)
    layers = board.layers(shine=14, thickness=0.06, round_edges=0.006)
    return finished(layers, rng, "cast", 0.06)


# screw


def _screw_design(rng: np.random.Generator) -> dict[str, Any]:
    return {
        **alloy(rng, ("steel", "steel", "brass", "blackened steel")),
        "head": str(rng.choice(("countersunk", "pan", "hex"))),
        "pitch": float(rng.uniform(0.075, 0.12)),
        "core": float(rng.uniform(0.11, 0.16)),
        "thread": float(rng.uniform(0.035, 0.055)),
        "shank": float(rng.uniform(0.0, 0.35)),
        "length": float(rng.uniform(1.0, 1.3)),
        "pointed": bool(rng.random() < 0.6),
        "gloss": float(rng.uniform(0.3, 0.7)),
    }


def _draw_screw(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    """A screw from the side, its axis from left to right; `bent` turns the tip aside, `missing part` strips
    threads.
    """
    line = np.linspace(-1, 1, n, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    begin, end = -0.55, -0.55 + float(design["length"])
    if change is not None and change.kind == "bent":
        knee = begin + float(change.rng.uniform(0.55, 0.8)) * (end - begin)
        sag = (0.1 + 0.22 * change.extent) * float(change.rng.choice((-1, 1)))
        y = y - np.float32(sag) * np.square(np.maximum(x - np.float32(knee), 0)) / np.float32(
            max(end - knee, 0.2)
        )
    phase = float(rng.normal(0, 0.05))
    pitch, core, thread = design["pitch"], design["core"], design["thread"]
    wave = np.abs(((x + np.float32(0.5) * y) / np.float32(pitch) + np.float32(phase)) % 1 * 2 - 1)
    along = (x - begin) / (end - begin)
    grooved = (along > design["shank"]).astype(np.float32)
    if change is not None and change.kind == "missing part":
        at = float(change.rng.uniform(design["shank"] + 0.1, 0.85))
        grooved = grooved * (np.abs(along - at) > 0.03 + 0.07 * change.extent)
    tip = np.clip((end - x) / 0.16, 0, 1) if design["pointed"] else np.ones_like(x)
    radius = (
        core + np.float32(thread) * wave * grooved + np.float32(thread) * 0.7 * (along <= design["shank"])
    ) * tip
    radius = np.where((x >= begin) & (x <= end), radius, 0)
    kind = design["head"]
    into = begin - x
    if kind == "countersunk":
        head = np.where(
            (into >= -0.16) & (into <= 0.04), np.clip(0.36 + np.minimum(into, 0) * 1.3, 0, 0.36), 0
        )
    elif kind == "pan":
        head = np.where(
            (into >= 0) & (into <= 0.16), 0.36 * np.sqrt(np.clip(1 - np.square(into / 0.19), 0, 1)), 0
        )
    else:
        head = np.where((into >= 0) & (into <= 0.2), 0.34, 0)
    is_head = head > radius
    radius = np.maximum(radius, head).astype(np.float32)
    alpha = np.clip((radius - np.abs(y)) * np.float32(n / 2) + 0.5, 0, 1).astype(np.float32)
    ratio = np.clip(np.abs(y) / np.maximum(radius, 1e-3), 0, 1)
    bulge = np.sqrt(np.maximum(1 - ratio * ratio, 0.0)) * radius
    if kind == "hex":
        flats = np.maximum(0.3 - np.maximum(np.abs(y) - 0.17, 0) * 0.9, 0)
        bulge = np.where(is_head, flats, bulge)
    tone = np.array(design["tone"], np.float32)
    groove = 1 - np.float32(0.45) * (1 - wave) * grooved * (1 - is_head)
    albedo = (tone * (groove * (0.75 + 0.25 * np.sqrt(1 - 0.9 * ratio * ratio)))[..., None]).astype(
        np.float32
    )
    height = (bulge * np.float32(n * 0.3)).astype(np.float32)
    layers = Layers(albedo, height, np.full((n, n), design["gloss"], np.float32), alpha, 22, 0.05)
    return replace(finished(layers, rng, "blasted", 0.04), thickness=0.05)


_METAL = ("scratch", "dent", "stain", "contamination", "rust", "discolouration")

MACHINED_PLATE = Family(
    "machined_plate",
    "machined plate",
    "object",
    (*_METAL, "chipped edge", "missing part"),
    _plate_design,
    _draw_plate,
    ("metal plate", "milled plate", "metal part"),
    frozenset({"missing part"}),
)
GEAR = Family(
    "gear",
    "gear",
    "object",
    (*_METAL, "chipped edge", "missing part", "crack"),
    _gear_design,
    _draw_gear,
    ("gear wheel", "cogwheel", "spur gear"),
    frozenset({"missing part"}),
)
CAST_HOUSING = Family(
    "cast_housing",
    "cast housing",
    "object",
    (*_METAL, "chipped edge", "missing part", "crack", "hole"),
    _housing_design,
    _draw_housing,
    ("casting", "housing", "metal flange"),
    frozenset({"missing part"}),
)
SCREW = Family(
    "screw",
    "screw",
    "object",
    ("scratch", "rust", "contamination", "bent", "missing part", "discolouration"),
    _screw_design,
    _draw_screw,
    ("metal screw", "bolt", "fastener"),
    frozenset({"missing part", "bent"}),
)
