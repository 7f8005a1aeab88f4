"""``CARPET``, ``STONE_SLAB``, ``FOAM``, ``PAINTED_PANEL`` and ``CARDBOARD``: more surfaces."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise
from adapters.simulator.canvas import Layers, Plane
from adapters.simulator.colour import PALETTE, RGB, mix, pick, vary
from adapters.simulator.families.surfaces import cells, flat, plane
from adapters.simulator.families.thread import pull
from adapters.simulator.family import Change, Design, Family


def _mixed(layers: Layers, tone: RGB, cover: Plane) -> None:
    """Paint another tone over the albedo by the cover (0-1)."""
    layers.albedo[:] += (np.array(tone, np.float32) - layers.albedo) * cover.astype(np.float32)[..., None]


# carpet


def _carpet_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    tone = vary(rng, PALETTE[colour])
    other = vary(rng, PALETTE[pick(rng)]) if rng.random() < 0.5 else mix(tone, (0.9, 0.9, 0.88), 0.25)
    return {
        "colour": colour,
        "material": str(rng.choice(("wool", "nylon", "polyester"))),
        "tone": tone,
        "other": other,
        "pile": str(rng.choice(("loop", "cut", "felt"))),
        "pattern": str(rng.choice(("plain", "plain", "flecked", "stripes", "checks"))),
        "loops": int(rng.integers(22, 46)),
        "count": int(rng.integers(2, 6)),
        "uneven": float(rng.uniform(0.06, 0.14)),
    }


def _draw_carpet(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    loops = design["loops"]
    wave = noise.clouds(rng, n, 0.15) * np.float32(0.004)
    if design["pile"] == "loop":
        v = (y + wave) * loops
        row = np.floor(v)
        u = (x + wave) * np.float32(loops * 0.75) + np.float32(0.5) * (row % 2)
        column = np.floor(u)
        tuft = 1 - np.square((u - column) * 2 - 1) * np.float32(0.9) - np.square((v - row) * 2 - 1)
        chance = rng.uniform(-1, 1, (97, 89)).astype(np.float32)
        fleck = chance[row.astype(np.int32) % 97, column.astype(np.int32) % 89]
    elif design["pile"] == "cut":
        fleck, inside = cells(rng, n, 0.8 / loops)
        tuft = np.minimum(inside * np.float32(2.4 * loops / n), 1)
    else:
        tuft = np.float32(0.5) + np.float32(0.3) * noise.fractal(rng, n, 0.025, 3)
        fleck = noise.fractal(rng, n, 0.05, 3)
    tuft = np.clip(tuft, -0.6, 1).astype(np.float32)
    uneven = np.float32(design["uneven"])
    value = np.float32(0.26) * (tuft - np.float32(0.5)) + uneven * (
        np.float32(0.5) * fleck
        + np.float32(0.7) * noise.white(rng, n)
        + np.float32(0.3) * noise.clouds(rng, n, 0.2)
    )
    layers = flat(n, design["tone"], value, tuft * np.float32(0.2 * n / loops), 0.0, 8)
    pattern, count = design["pattern"], design["count"]
    if pattern != "plain":
        if pattern == "flecked":
            cover = (fleck > 0.45).astype(np.float32)
        else:
            cover = ((x + wave) * count % 1 < 0.5).astype(np.float32)
            if pattern == "checks":
                cover = np.abs(cover - ((y + wave) * count % 1 < 0.5))
        shaded = np.clip(1 + value, 0, 1.5)
        layers.albedo[:] += (np.array(design["other"], np.float32) * shaded[..., None] - layers.albedo) * (
            cover[..., None]
        )
    if change is not None:
        pull(layers, change, n / loops)
    return layers


# stone slab

_STONES: dict[str, tuple[str, tuple[RGB, ...]]] = {
    "granite": ("grey", ((0.62, 0.60, 0.58), (0.22, 0.22, 0.23), (0.80, 0.72, 0.68))),
    "black granite": ("black", ((0.14, 0.14, 0.15), (0.32, 0.33, 0.35), (0.07, 0.07, 0.07))),
    "red granite": ("red", ((0.58, 0.34, 0.28), (0.20, 0.18, 0.18), (0.74, 0.58, 0.50))),
    "marble": ("white", ((0.88, 0.87, 0.85), (0.50, 0.51, 0.54), (0.80, 0.76, 0.70))),
    "green marble": ("dark green", ((0.16, 0.28, 0.22), (0.66, 0.72, 0.66), (0.10, 0.16, 0.14))),
    "travertine": ("beige", ((0.80, 0.72, 0.58), (0.62, 0.52, 0.38), (0.88, 0.82, 0.72))),
    "slate": ("dark grey", ((0.28, 0.30, 0.32), (0.20, 0.21, 0.23), (0.36, 0.36, 0.34))),
    "sandstone": ("beige", ((0.76, 0.62, 0.44), (0.66, 0.48, 0.32), (0.84, 0.74, 0.58))),
    "terrazzo": ("grey", ((0.76, 0.75, 0.72), (0.46, 0.36, 0.30), (0.30, 0.34, 0.36))),
}


def _stone_design(rng: np.random.Generator) -> dict[str, Any]:
    material = pick(rng, tuple(_STONES))
    colour, tones = _STONES[material]
    return {
        "colour": colour,
        "material": material,
        "tones": tuple(vary(rng, tone, 0.06) for tone in tones),
        "grain": float(rng.uniform(0.02, 0.06)),
        "veins": float(rng.uniform(3, 7)),
        "gloss": float(rng.uniform(0.0, 0.6)) if material != "sandstone" else 0.02,
        "rough": float(rng.uniform(0.0, 0.004)),
    }


def _draw_stone(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    material, grain = design["material"], design["grain"]
    base, second, third = design["tones"]
    fine = noise.white(rng, n)
    rough = design["rough"] * (1 - 0.9 * min(design["gloss"] * 4, 1))  # what was polished is flat
    height = noise.fractal(rng, n, 0.06) * np.float32(rough * n)
    value = np.float32(0.04) * fine + np.float32(0.05) * noise.fractal(rng, n, 0.3)
    layers = flat(n, base, value, height, design["gloss"], 45)
    if "granite" in material:
        crystal, _ = cells(rng, n, grain)
        _mixed(layers, second, (crystal > 0.45) * np.float32(0.85))
        _mixed(layers, third, (crystal < -0.5) * np.float32(0.8))
        _mixed(layers, second, np.clip(noise.clouds(rng, n, 0.012) - np.float32(1.4), 0, 1))
    elif "marble" in material:
        x, y = plane(n)
        for tone, strength, fold in ((third, 0.5, 0.6), (second, 0.75, 1.0)):
            swirl = noise.fractal(rng, n, 0.5, 5) * np.float32(fold) + (x + y * np.float32(0.6)) * np.float32(
                2
            )
            vein = np.exp(-np.abs(np.sin(swirl * np.float32(design["veins"] * 0.5))) * 12)
            fade = np.clip(np.float32(0.4) + noise.clouds(rng, n, 0.25) * np.float32(0.5), 0, 1)
            _mixed(layers, tone, vein * fade * np.float32(strength))
    elif material == "terrazzo":
        chip, inside = cells(rng, n, grain * 1.6)
        body = np.clip(inside * np.float32(0.8) - 1, 0, 1)
        _mixed(layers, second, (chip > 0.5) * body)
        _mixed(layers, third, (chip < -0.6) * body)
    elif material == "travertine":
        bands = noise.streaks(rng, n, 0.9, 0.06) + np.float32(0.6) * noise.streaks(rng, n, 0.3, 0.01)
        _mixed(layers, second, np.clip(bands * np.float32(0.3), 0, 0.7))
        _mixed(layers, third, np.clip(-bands * np.float32(0.3), 0, 0.7))
    else:
        layer = noise.fractal(rng, n, 0.25, 5)
        _mixed(layers, second, np.clip(layer * np.float32(0.35), 0, 0.8))
        _mixed(layers, third, np.clip(-layer * np.float32(0.3), 0, 0.7))
        step = np.floor(layer * 2) if material == "slate" else layer
        layers.height[:] += cv2.GaussianBlur(step, (0, 0), max(0.005 * n, 0.6)) * np.float32(0.002 * n)
    return layers


# foam


def _foam_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("white", "yellow", "pink", "light blue", "green", "grey", "black", "beige", "orange"))
    return {
        "colour": colour,
        "material": str(rng.choice(("polyurethane", "polystyrene", "melamine"))),
        "tone": mix(vary(rng, PALETTE[colour], 0.05), (0.5, 0.5, 0.5), 0.15),
        "beads": bool(rng.random() < 0.35),
        "cell": float(rng.uniform(0.014, 0.04)),
        "depth": float(rng.uniform(0.15, 0.4)),
        "glow": float(rng.uniform(0.1, 0.4)),
    }


def _draw_foam(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    cell = design["cell"] * (1.6 if design["beads"] else 1.0)
    tone, inside = cells(rng, n, cell)
    bead = np.sqrt(np.minimum(inside * np.float32(2 / (cell * n)), 1))
    if not design["beads"]:
        # Open pores are dark inside, and not every one is as deep.
        bead = np.float32(1) - bead * (np.float32(0.6) + np.float32(0.4) * tone)
    bead = cv2.GaussianBlur(bead, (0, 0), max(0.0025 * n, 0.5))
    depth = np.float32(design["depth"])
    value = (
        depth * (bead - np.float32(0.6)) + np.float32(0.03) * noise.white(rng, n) + np.float32(0.04) * tone
    )
    layers = flat(n, design["tone"], value, bead * np.float32(0.22 * cell * n), 0.03, 8)
    return replace(layers, glow=design["glow"])


# painted panel


def _paint_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    return {
        "colour": colour,
        "material": "painted metal",
        "tone": vary(rng, PALETTE[colour]),
        "peel": float(rng.uniform(0.0002, 0.0016)),
        "cell": float(rng.uniform(0.02, 0.06)),
        "flakes": float(rng.uniform(0.03, 0.12)) if rng.random() < 0.5 else 0.0,
        "structure": bool(rng.random() < 0.25),
        "gloss": float(rng.uniform(0.2, 1.0)),
        "curve": float(rng.uniform(-0.12, 0.12)),
        "crease": float(rng.uniform(0.2, 0.8)) if rng.random() < 0.35 else -1.0,
    }


def _draw_paint(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    height = noise.fractal(rng, n, design["cell"], 2) * np.float32(design["peel"] * n)
    if design["structure"]:
        height = height + noise.clouds(rng, n, 0.018) * np.float32(0.0012 * n)
    height = height + np.square(x - np.float32(0.5)) * np.float32(design["curve"] * n)
    if design["crease"] > 0:
        across = y - np.float32(design["crease"] + rng.normal(0, 0.004))
        height = height - np.sqrt(across * across + np.float32(0.0008)) * np.float32(0.12 * n)
    value = np.float32(design["flakes"]) * noise.white(rng, n) + np.float32(0.006) * noise.fractal(
        rng, n, 0.3
    )
    return flat(n, design["tone"], value, height, design["gloss"], 55)


# cardboard


def _board_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("brown", "brown", "white", "grey", "beige"))
    tone = {"brown": (0.66, 0.50, 0.34), "white": (0.86, 0.84, 0.80), "grey": (0.56, 0.55, 0.52)}.get(
        colour, (0.78, 0.68, 0.52)
    )
    return {
        "colour": colour,
        "material": "paper fibre",
        "tone": vary(rng, tone, 0.05),
        "flutes": int(rng.integers(12, 34)) if rng.random() < 0.65 else 0,
        "upright": bool(rng.random() < 0.5),
        "flute": float(rng.uniform(0.015, 0.05)),
        "fibre": float(rng.uniform(0.02, 0.05)),
        "specks": float(rng.uniform(0.0, 0.5)),
        "fold": float(rng.uniform(0.25, 0.75)) if rng.random() < 0.3 else -1.0,
    }


def _draw_board(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    along = x if design["upright"] else y
    fibre = (
        np.float32(0.5) * noise.streaks(rng, n, 0.03, 0.004)
        + np.float32(0.35) * noise.streaks(rng, n, 0.02, 0.006, vertical=True)
        + np.float32(0.6) * noise.white(rng, n)
    )
    value = np.float32(design["fibre"]) * (fibre + np.float32(0.8) * noise.fractal(rng, n, 0.08))
    height = fibre * np.float32(0.0006 * n)
    if design["flutes"]:
        wave = np.sin((along + np.float32(rng.uniform(0, 1))) * np.float32(2 * np.pi * design["flutes"]))
        value = value + np.float32(design["flute"]) * wave
        height = height + wave * np.float32(0.06 * design["flute"] * n)
    if design["fold"] > 0:
        crease = np.exp(-np.square((along - np.float32(design["fold"] + rng.normal(0, 0.004))) * 70))
        value, height = value - np.float32(0.1) * crease, height - crease * np.float32(0.012 * n)
    speck = np.clip(noise.clouds(rng, n, 0.008) - np.float32(2.0), 0, 1) * np.float32(design["specks"])
    return flat(n, design["tone"], value - speck, height, 0.02, 8)


_COMMON = ("stain", "contamination", "discolouration")

CARPET = Family(
    "carpet",
    "carpet",
    "surface",
    (*_COMMON, "hole", "cut", "loose thread"),
    _carpet_design,
    _draw_carpet,
    ("rug", "floor covering", "piece of carpet"),
    frozenset({"loose thread"}),
)
STONE_SLAB = Family(
    "stone_slab",
    "stone slab",
    "surface",
    (*_COMMON, "crack", "chipped edge", "scratch", "hole"),
    _stone_design,
    _draw_stone,
    ("stone", "stone tile", "slab of stone"),
    coarse=0.1,  # grains of granite, chips of terrazzo
)
FOAM = Family(
    "foam",
    "foam",
    "surface",
    (*_COMMON, "hole", "cut", "dent", "crack"),
    _foam_design,
    _draw_foam,
    ("foam sheet", "sponge", "foam board"),
)
PAINTED_PANEL = Family(
    "painted_panel",
    "painted panel",
    "surface",
    (*_COMMON, "scratch", "dent", "hole", "crack", "chipped edge", "rust"),
    _paint_design,
    _draw_paint,
    ("lacquered panel", "paint surface", "coated sheet"),
)
CARDBOARD = Family(
    "cardboard",
    "cardboard",
    "surface",
    (*_COMMON, "hole", "cut", "dent", "scratch"),
    _board_design,
    _draw_board,
    ("carton", "corrugated board", "cardboard sheet"),
)
