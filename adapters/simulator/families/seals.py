"""``GASKET`` (flat) and ``O_RING``."""

from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers, polar
from adapters.simulator.colour import RGB, mix, pick, vary
from adapters.simulator.family import Change, Design, Family

_DARK = (0.05, 0.05, 0.055)
_ELASTOMERS: dict[str, RGB] = {
    "black": (0.13, 0.13, 0.135),
    "dark grey": (0.26, 0.26, 0.27),
    "red": (0.60, 0.20, 0.15),
    "green": (0.20, 0.42, 0.30),
    "blue": (0.16, 0.30, 0.55),
    "beige": (0.78, 0.70, 0.56),
    "white": (0.84, 0.84, 0.82),
    "orange": (0.80, 0.42, 0.16),
}
_SHEETS: dict[str, RGB] = {
    "cork": (0.62, 0.45, 0.28),
    "fibre": (0.32, 0.46, 0.44),
    "paper": (0.66, 0.58, 0.44),
    "graphite": (0.24, 0.25, 0.27),
}


def bulged(outline: shapes.Outline, change: Change, low: float = 0.05, high: float = 0.16) -> shapes.Outline:
    """An outline pushed in or out at one place, by `low` to `high` of its reach."""
    angle = np.arctan2(outline[:, 1], outline[:, 0])
    away = np.angle(np.exp(1j * (angle - change.rng.uniform(0, 2 * np.pi))))
    push = float(change.rng.choice((-1, 1))) * (low + (high - low) * change.extent)
    return np.asarray(outline * (1 + push * np.exp(-np.square(away / 0.3)))[:, None])


def _dense(outline: shapes.Outline, count: int = 240) -> shapes.Outline:
    """The same closed outline with points at even steps."""
    closed = np.concatenate([outline, outline[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    steps = np.linspace(0, along[-1], count, endpoint=False)
    return np.stack([np.interp(steps, along, closed[:, axis]) for axis in range(2)], 1)


# gasket


def _gasket_design(rng: np.random.Generator) -> dict[str, Any]:
    material = str(rng.choice(("rubber", "silicone", "cork", "fibre", "paper", "graphite")))
    colour = pick(rng, tuple(_ELASTOMERS)) if material in ("rubber", "silicone") else material
    kind = str(rng.choice(("ring", "frame", "flange", "contour")))
    wide = float(rng.uniform(0.5, 0.78))
    if kind == "ring":
        outer, inner = shapes.circle(wide + 0.08, 240), shapes.circle(wide * rng.uniform(0.45, 0.75), 240)
    elif kind == "frame":
        tall, bar = float(rng.uniform(0.45, 0.78)), float(rng.uniform(0.14, 0.24))
        corner = float(rng.uniform(0.02, 0.25))
        outer = _dense(shapes.rectangle(wide, tall, corner))
        inner = _dense(shapes.rectangle(wide - bar, tall - bar, corner * 0.6))
    elif kind == "flange":
        angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
        lobes = int(rng.integers(2, 7))
        reach = 0.62 + rng.uniform(0.06, 0.16) * np.cos(angle * lobes)
        outer = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]
        inner = shapes.circle(rng.uniform(0.28, 0.42), 240)
    else:
        outer = shapes.blob(rng, 0.72, 0.14, 240)
        inner = outer * rng.uniform(0.58, 0.74)
    count = int(rng.integers(3, 9)) if kind != "flange" else lobes
    start = 0 if kind == "flange" else int(rng.integers(240))
    places = [(start + k * 240 // count) % 240 for k in range(count)]
    holes = [tuple(float(v) for v in (outer[k] + inner[k]) / 2) for k in places]
    return {
        "colour": {"cork": "brown", "fibre": "green", "paper": "beige", "graphite": "dark grey"}.get(
            colour, colour
        ),
        "material": material,
        "tone": vary(rng, _ELASTOMERS.get(colour) or _SHEETS[colour], 0.05),
        "outer": outer,
        "inner": inner,
        "holes": holes,
        "radius": float(rng.uniform(0.025, 0.045)),
        "bead": bool(rng.random() < 0.5) and material in ("rubber", "silicone", "graphite"),
        "eyelets": bool(rng.random() < 0.25),
        "gloss": float(rng.uniform(0.1, 0.4) if material in ("rubber", "silicone") else 0.03),
    }


def _draw_gasket(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    play = shapes.turned(np.eye(2) * (1 + rng.normal(0, 0.006, 2)), rng.normal(0, 0.01))
    outer, inner = design["outer"] @ play, design["inner"] @ play
    holes = [(float(x), float(y)) for x, y in np.asarray(design["holes"]) @ play]
    if change is not None and change.kind == "bent":
        seed = int(change.rng.integers(1 << 30))
        # Both rims move together, as they do where a soft part was squeezed.
        outer, inner = (
            bulged(rim, Change("bent", np.random.Generator(np.random.PCG64(seed)), change.extent, 1.0))
            for rim in (outer, inner)
        )
    skipped = int(change.rng.integers(len(holes))) if change and change.kind == "missing part" else -1
    board = Canvas(n, mix(tone, _DARK, 0.2), design["gloss"])
    board.polygon(outer, relief=FLAT - 16, alpha=255)
    board.polygon(outer * 0.985, tone, relief=FLAT)
    if design["bead"]:
        middle = outer * 0.5 + inner * 0.5
        for rim in (middle * 0.35 + inner * 0.65, middle * 0.35 + outer * 0.65):
            board.stroke(rim, 0.022, mix(tone, (1, 1, 1), 0.06), relief=FLAT + 26, closed=True)
    for k, hole in enumerate(holes):
        if k == skipped:
            continue
        if design["eyelets"]:
            board.disc(hole, design["radius"] * 1.6, (0.66, 0.66, 0.66), relief=FLAT + 20, gloss=0.6)
        board.disc(hole, design["radius"], relief=FLAT - 16, alpha=0)
    board.polygon(inner, relief=FLAT - 16, alpha=0)
    layers = board.layers(shine=14, thickness=0.02)
    material = design["material"]
    grain = np.float32(0.03) * noise.white(rng, n) + np.float32(0.03) * noise.fractal(rng, n, 0.2)
    if material == "cork":
        grain = grain + np.float32(0.16) * np.clip(noise.fractal(rng, n, 0.035, 2), -2.5, 1.2)
    elif material in ("fibre", "paper"):
        threads = noise.streaks(rng, n, 0.05, 0.004) + noise.streaks(rng, n, 0.05, 0.004, vertical=True)
        grain = grain + np.float32(0.045) * threads
    layers.albedo[:] = np.clip(layers.albedo * (1 + grain[..., None]), 0, 1)
    layers.height[:] += grain * np.float32(0.006 * n)
    return layers


# O-ring


def _ring_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, tuple(_ELASTOMERS))
    return {
        "colour": colour,
        "material": str(rng.choice(("rubber", "silicone"))),
        "tone": vary(rng, _ELASTOMERS[colour], 0.05),
        "radius": float(rng.uniform(0.45, 0.72)),
        "cord": float(rng.uniform(0.06, 0.17)),
        "profile": str(rng.choice(("round", "round", "square", "lobed"))),
        "seam": bool(rng.random() < 0.4),
        "gloss": float(rng.uniform(0.15, 0.7)),
        "matt": float(rng.uniform(0.01, 0.05)),
        "glow": float(rng.uniform(0, 0.5)) if colour in ("white", "beige", "orange", "red") else 0.0,
    }


def _draw_ring(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    radius, around = polar(n)
    angle = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    # A soft ring never lies quite round.
    lie = 1 + rng.normal(0, 0.008) * np.cos(2 * angle + rng.uniform(0, 6.3))
    path = np.stack([np.cos(angle), np.sin(angle)], 1) * (design["radius"] * lie)[:, None]
    if change is not None:
        path = bulged(path, change, 0.05, 0.16)
    reach = np.hypot(path[:, 0], path[:, 1]).astype(np.float32)
    sector = ((around + np.float32(np.pi)) * np.float32(720 / (2 * np.pi))).astype(np.int32) % 720
    cord = np.float32(design["cord"])
    across = (radius - reach[sector]) / cord
    alpha = np.clip((1 - np.abs(across)) * cord * np.float32(n / 2) + np.float32(0.5), 0, 1)
    dome = np.sqrt(np.maximum(1 - across * across, 0))
    if design["profile"] == "square":
        dome = np.minimum(dome * 1.0, np.float32(0.55))
    elif design["profile"] == "lobed":
        dome = dome - np.float32(0.3) * np.exp(-np.square(across * 4))
    if design["seam"]:
        dome = dome - np.float32(0.12) * np.exp(-np.square((across - 0.3) * 14))
    height = cv2.GaussianBlur(dome * cord * np.float32(n * 0.32), (0, 0), max(0.004 * n, 0.5))
    grain = np.float32(design["matt"]) * (noise.white(rng, n) + noise.fractal(rng, n, 0.15))
    tone = np.array(design["tone"], np.float32) * (1 + grain)[..., None]
    return Layers(
        np.clip(tone * (np.float32(0.72) + np.float32(0.28) * dome)[..., None], 0, 1).astype(np.float32),
        (height + grain * np.float32(0.004 * n)).astype(np.float32),
        np.full((n, n), design["gloss"], np.float32),
        alpha.astype(np.float32),
        22,
        0.04,
        glow=design["glow"],
    )


GASKET = Family(
    "gasket",
    "gasket",
    "object",
    ("cut", "chipped edge", "crack", "hole", "contamination", "stain", "missing part", "bent"),
    _gasket_design,
    _draw_gasket,
    ("flat gasket", "seal", "flat seal"),
    frozenset({"missing part", "bent"}),
)
O_RING = Family(
    "o_ring",
    "O-ring",
    "object",
    ("cut", "chipped edge", "crack", "contamination", "discolouration", "bent", "hole"),
    _ring_design,
    _draw_ring,
    ("rubber ring", "sealing ring", "round seal"),
    frozenset({"bent"}),
)
