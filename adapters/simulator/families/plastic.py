"""``BOTTLE_CAP``, ``CONNECTOR``, ``TOOTHBRUSH`` and ``TOY_BLOCK``: plastic parts."""

from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers
from adapters.simulator.colour import PALETTE, contrast_to, mix, pick, vary
from adapters.simulator.family import Change, Design, Family

_WORDS = (
    "AQUA",
    "FRESH",
    "COLA",
    "PURE",
    "LIMO",
    "NOVA",
    "SPRING",
    "VITA",
    "ORIGO",
    "MILK",
    "KRONE",
    "ALPEN",
)
_DARK = (0.05, 0.05, 0.055)


def moulded(layers: Layers, rng: np.random.Generator, amount: float = 0.012) -> Layers:
    """The faint unevenness of injection-moulded plastic."""
    n = layers.alpha.shape[0]
    texture = 0.5 * noise.clouds(rng, n, 0.08) + 0.5 * noise.white(rng, n)
    layers.albedo[:] *= (1 + np.float32(amount) * texture)[..., None]
    layers.height[:] += noise.clouds(rng, n, 0.15) * np.float32(0.0006 * n)
    return layers


# bottle cap


def _cap_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    tone = vary(rng, PALETTE[colour])
    return {
        "colour": colour,
        "material": "plastic",
        "tone": tone,
        "ink": contrast_to(rng, tone),
        "ribs": int(rng.integers(30, 90)),
        "rib_depth": float(rng.uniform(0.02, 0.05)),
        "rings": [float(r) for r in sorted(rng.uniform(0.35, 0.68, int(rng.integers(0, 3))))],
        "word": _WORDS[int(rng.integers(len(_WORDS)))],
        "embossed": bool(rng.random() < 0.35),
        "logo": int(rng.integers(5)),
        "logo_sides": int(rng.integers(3, 8)),
        "gloss": float(rng.uniform(0.15, 0.6)),
        "dome": float(rng.uniform(-0.03, 0.05)),
    }


def _draw_cap(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, ink = design["tone"], design["ink"]
    board = Canvas(n, mix(tone, _DARK, 0.12), design["gloss"])
    ribs = design["ribs"]
    angle = np.linspace(0, 2 * np.pi, ribs * 6, endpoint=False)
    phase = float(rng.uniform(0, 2 * np.pi))
    reach = 0.82 + design["rib_depth"] * 0.5 * np.sign(np.sin(angle * ribs + phase)) * 0.5
    outline = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]
    board.polygon(outline, relief=FLAT - 40, alpha=255)
    for k in range(ribs):
        a = 2 * np.pi * (k + phase) / ribs
        ray = np.array([(np.cos(a), np.sin(a))])
        board.stroke(np.concatenate([ray * 0.72, ray * 0.8]), 0.012, mix(tone, _DARK, 0.4))
    board.disc((0, 0), 0.745, tone, relief=FLAT - 4)
    board.ring((0, 0), 0.735, 0.02, mix(tone, (1, 1, 1), 0.15))
    for radius in design["rings"]:
        board.ring((0, 0), radius, 0.025, relief=FLAT + 14)
    shift, fade, skip = np.zeros(2), 1.0, ""
    if change is not None and change.kind == "misprint":
        way = int(change.rng.integers(3))
        if way == 0:
            heading = change.rng.uniform(0, 2 * np.pi)
            shift = np.array([np.cos(heading), np.sin(heading)]) * (0.05 + 0.16 * change.extent)
        elif way == 1:
            fade = 0.75 - 0.7 * change.strength
        else:
            skip = str(change.rng.choice(("logo", "word")))
    print_on = {"relief": FLAT + 16} if design["embossed"] else {"colour": ink}
    x, y = float(shift[0]), float(shift[1])
    if skip != "logo":
        _logo(board, design, (x, y - 0.14), None if design["embossed"] else mix(tone, ink, fade))
    if skip != "word":
        board.text(design["word"], (x, y + 0.24), 0.15, bold=True, fade=fade, **print_on)
    layers = moulded(board.layers(shine=26, thickness=0.06), rng)
    line = np.linspace(-1, 1, n, dtype=np.float32)
    gx, gy = np.meshgrid(line, line)
    layers.height[:] += np.float32(design["dome"] * n) * np.sqrt(np.maximum(0.0, 1 - gx * gx - gy * gy))
    return layers


def _logo(
    board: Canvas, design: Design, centre: tuple[float, float], colour: tuple[float, float, float] | None
) -> None:
    relief = FLAT + 16 if colour is None else None
    kind = design["logo"]
    if kind == 0:
        board.disc(centre, 0.17, colour, relief=relief)
    elif kind == 1:
        board.ring(centre, 0.16, 0.06, colour, relief=relief)
    elif kind == 2:
        board.polygon(shapes.circle(0.19, design["logo_sides"], centre), colour, relief=relief)
    elif kind == 3:
        star = shapes.circle(0.2, 10) * np.where(np.arange(10) % 2, 0.45, 1.0)[:, None]
        board.polygon(star + centre, colour, relief=relief)
    else:
        wave = np.linspace(-0.25, 0.25, 30)
        path = np.stack([wave, 0.05 * np.sin(wave * 25)], 1) + centre
        board.stroke(path, 0.06, colour, relief=relief)


# connector


def _connector_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("black", "white", "grey", "green", "blue", "beige", "orange"))
    return {
        "colour": colour,
        "material": "plastic",
        "tone": vary(rng, PALETTE[colour], 0.04),
        "columns": int(rng.integers(3, 10)),
        "rows": int(rng.integers(1, 4)),
        "pin": (0.78, 0.66, 0.34) if rng.random() < 0.6 else (0.7, 0.71, 0.73),
        "square": bool(rng.random() < 0.5),
        "key": float(rng.uniform(-0.4, 0.4)),
        "latch": bool(rng.random() < 0.6),
        "gloss": float(rng.uniform(0.1, 0.4)),
        "text": "".join(rng.choice(list("JPX123456"), 2)),
        "ears": bool(rng.random() < 0.5),
    }


def _draw_connector(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    rows, columns = design["rows"], design["columns"]
    pitch = min(1.2 / columns, 0.34)
    width, height = 0.5 * pitch * columns + 0.14, 0.5 * pitch * rows + 0.2
    board = Canvas(n, mix(tone, _DARK, 0.3), design["gloss"])
    if design["ears"]:
        board.polygon(shapes.rectangle(min(width + 0.2, 0.93), 0.13, 0.05), relief=FLAT - 50, alpha=255)
        for side in (-1, 1):
            board.disc((side * min(width + 0.1, 0.84), 0), 0.05, _DARK, relief=FLAT - 90, gloss=0.0)
    board.polygon(shapes.rectangle(width, height, 0.04), relief=FLAT - 8, alpha=255)
    board.polygon(shapes.rectangle(width - 0.02, height - 0.02, 0.04), tone, relief=FLAT + 14)
    board.polygon(
        shapes.rectangle(width - 0.08, height - 0.08, 0.02), mix(tone, _DARK, 0.45), relief=FLAT - 70
    )
    board.polygon(
        shapes.moved(shapes.rectangle(0.09, 0.05), (design["key"] * width, -height + 0.06)),
        mix(tone, _DARK, 0.45),
        relief=FLAT - 70,
    )
    if design["latch"]:
        board.polygon(
            shapes.moved(shapes.rectangle(0.16, 0.05, 0.02), (0, height + 0.02)),
            tone,
            relief=FLAT + 24,
            alpha=255,
        )
    board.text(design["text"], (-width + 0.12, height - 0.045), 0.05, mix(tone, (1, 1, 1), 0.5))
    chosen = int(change.rng.integers(rows * columns)) if change is not None else -1
    gone = 1 + int(change.extent * 2) if change is not None and change.kind == "missing part" else 0
    for k in range(rows * columns):
        x = (k % columns - (columns - 1) / 2) * pitch
        y = (k // columns - (rows - 1) / 2) * pitch
        board.polygon(
            shapes.moved(shapes.rectangle(pitch * 0.36, pitch * 0.36), (x, y)),
            mix(tone, _DARK, 0.75),
            relief=FLAT - 80,
        )
        if chosen <= k < chosen + gone:
            continue
        lean = np.zeros(2)
        if change is not None and change.kind == "bent" and k == chosen:
            heading = change.rng.uniform(0, 6.3)
            lean = np.array([np.cos(heading), np.sin(heading)]) * pitch * (0.2 + 0.3 * change.extent)
        size = pitch * 0.2
        pin = shapes.rectangle(size, size) if design["square"] else shapes.circle(size, 24)
        if lean.any():
            shaft = np.array([(x, y), (x + lean[0], y + lean[1])])
            board.stroke(shaft, size * 1.4, mix(design["pin"], _DARK, 0.35), relief=FLAT - 20)
        board.polygon(
            shapes.moved(pin, (x + lean[0], y + lean[1])),
            mix(design["pin"], _DARK, 0.25),
            relief=FLAT - 20,
            gloss=0.8,
        )
        board.polygon(
            shapes.moved(pin * 0.7, (x + lean[0], y + lean[1])), design["pin"], relief=FLAT + 4, gloss=0.9
        )
    return moulded(board.layers(shine=20, thickness=0.06), rng)


# toothbrush


def _brush_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(
        rng, ("white", "blue", "green", "red", "pink", "turquoise", "purple", "orange", "light blue")
    )
    bristles = [
        PALETTE[pick(rng, ("white", "blue", "light blue", "green", "red", "turquoise", "yellow"))]
        for _ in range(2)
    ]
    return {
        "colour": colour,
        "material": "plastic",
        "tone": vary(rng, PALETTE[colour]),
        "bristles": bristles,
        "columns": int(rng.integers(8, 13)),
        "rows": int(rng.integers(3, 5)),
        "pattern": int(rng.integers(3)),
        "gloss": float(rng.uniform(0.3, 0.6)),
        "head": float(rng.uniform(0.32, 0.4)),
    }


def _draw_brush(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, head = design["tone"], design["head"]
    board = Canvas(n, tone, design["gloss"])
    board.polygon(shapes.moved(shapes.rectangle(0.6, 0.09, 0.07), (0.34, 0)), relief=FLAT, alpha=255)
    board.polygon(
        shapes.moved(shapes.rectangle(0.66, head, head * 0.85), (-0.2, 0)), relief=FLAT + 6, alpha=255
    )
    columns, rows = design["columns"], design["rows"]
    cells = [
        (i, j)
        for i in range(columns)
        for j in range(rows)
        if not (i in (0, columns - 1) and j in (0, rows - 1))
    ]
    struck: set[int] = set()
    lean = np.zeros(2)
    if change is not None:
        first = int(change.rng.integers(len(cells)))
        struck = {(first + k) % len(cells) for k in range(1 + int(1.6 * change.extent))}
        if change.kind == "bent":
            heading = change.rng.uniform(0, 6.3)
            lean = np.array([np.cos(heading), np.sin(heading)]) * (0.08 + 0.1 * change.extent)
    # Drawn for all tufts at once, so that a missing one leaves the play of the others as it was.
    play = rng.normal(0, 0.005, (len(cells), 5, 2))
    for k, (i, j) in enumerate(cells):
        x = -0.2 + (i - (columns - 1) / 2) * 1.14 / columns
        y = (j - (rows - 1) / 2) * head * 1.55 / rows
        size = min(0.5 / columns, head * 0.68 / rows)
        board.disc((x, y), size * 1.05, mix(tone, _DARK, 0.5), relief=FLAT - 6)
        if k in struck and change is not None and change.kind == "missing part":
            continue
        colour = design["bristles"][
            (i % 2, j % 2, int(abs(i - columns / 2) > columns / 4))[design["pattern"]]
        ]
        off = lean if k in struck else np.zeros(2)
        tilt = play[k] + np.linspace(0, 1, 5)[:, None] * off
        for step in range(5):
            at = (x + float(tilt[step, 0]), y + float(tilt[step, 1]))
            board.disc(
                at,
                size * (0.98 - 0.06 * step),
                mix(_DARK, colour, 0.55 + 0.11 * step),
                relief=FLAT + 12 + 4 * step,
                gloss=0.04,
            )
    layers = board.layers(shine=24, thickness=0.05)
    fuzz = np.where(layers.height > n * 0.004, np.float32(0.08), np.float32(0.01)) * noise.white(rng, n)
    layers.albedo[:] = np.clip(layers.albedo * (1 + fuzz[..., None]), 0, 1)
    return layers


# toy block


def _block_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    return {
        "colour": colour,
        "material": str(rng.choice(("plastic", "foam", "painted wood"))),
        "tone": vary(rng, PALETTE[colour]),
        "size": (float(rng.uniform(0.42, 0.62)), float(rng.uniform(0.45, 0.65))),
        "lean": (float(rng.uniform(-0.22, 0.22)), float(rng.uniform(-0.3, -0.12))),
        "gloss": float(rng.uniform(0.02, 0.35)),
        "mark": "".join(rng.choice(list("ABCDEFGHKM"), 1)) if rng.random() < 0.4 else "",
        "studs": bool(rng.random() < 0.3),
        "rough": float(rng.uniform(0.01, 0.05)),
    }


def _draw_block(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    w, h = design["size"]
    lean = np.array(design["lean"])
    front = shapes.rectangle(w, h, 0.02) - lean / 2
    board = Canvas(n, tone, design["gloss"])
    hull = cv2.convexHull(np.concatenate([front, front + lean]).astype(np.float32))[:, 0]
    board.polygon(np.asarray(hull, np.float64), mix(tone, _DARK, 0.3), relief=FLAT, alpha=255)
    top = np.array([(-w, -h), (w, -h), (w + lean[0], -h + lean[1]), (-w + lean[0], -h + lean[1])]) - lean / 2
    board.polygon(top, mix(tone, (1, 1, 1), 0.22))
    board.polygon(front, tone, relief=FLAT + 4)
    x, y = (float(v) for v in -lean / 2)
    if design["studs"]:
        for sx in (-0.5, 0.5):
            for sy in (-0.5, 0.5):
                gone = change is not None and sx < 0 and (sy < 0) == (change.rng.random() < 0.5)
                if not gone:
                    board.disc((x + sx * w, y + sy * h), 0.15, mix(tone, (1, 1, 1), 0.08), relief=FLAT + 30)
    if design["mark"] and not (change is not None and not design["studs"]):
        board.text(design["mark"], (x, y), 0.5, mix(tone, _DARK, 0.6), bold=True)
    layers = board.layers(shine=20, thickness=0.08)
    grain = noise.white(rng, n) * np.float32(0.6) + noise.fractal(rng, n, 0.06, 3) * np.float32(0.5)
    layers.albedo[:] = np.clip(layers.albedo * (1 + np.float32(design["rough"]) * grain[..., None]), 0, 1)
    return layers


BOTTLE_CAP = Family(
    "bottle_cap",
    "bottle cap",
    "object",
    (
        "scratch",
        "crack",
        "dent",
        "stain",
        "chipped edge",
        "contamination",
        "misprint",
        "discolouration",
        "hole",
    ),
    _cap_design,
    _draw_cap,
    ("cap", "screw cap", "plastic closure"),
    frozenset({"misprint"}),
)
CONNECTOR = Family(
    "connector",
    "connector",
    "object",
    ("missing part", "bent", "scratch", "crack", "contamination", "chipped edge", "discolouration"),
    _connector_design,
    _draw_connector,
    ("plug connector", "pin header", "electrical connector"),
    frozenset({"missing part", "bent"}),
)
TOOTHBRUSH = Family(
    "toothbrush",
    "toothbrush",
    "object",
    ("missing part", "bent", "contamination", "stain", "discolouration", "chipped edge"),
    _brush_design,
    _draw_brush,
    ("brush", "brush head", "dental brush"),
    frozenset({"missing part", "bent"}),
)
TOY_BLOCK = Family(
    "toy_block",
    "toy block",
    "object",
    ("scratch", "dent", "hole", "stain", "chipped edge", "crack", "contamination", "discolouration"),
    _block_design,
    _draw_block,
    ("block", "cube", "building block"),
    turns=25.0,
)
