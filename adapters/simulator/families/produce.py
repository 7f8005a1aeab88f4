"""``FRUIT`` and ``NUT``: no two of them have the same outline."""

from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers, Plane, polar, units
from adapters.simulator.colour import RGB, pick, vary
from adapters.simulator.family import Change, Design, Family

_DARK: RGB = (0.05, 0.05, 0.055)
# colour word, skin, blush, gloss, roughness of the skin, spots, width over height
_FRUIT: dict[str, tuple[str, RGB, RGB, float, float, float, float]] = {
    "apple": ("red", (0.66, 0.14, 0.13), (0.80, 0.68, 0.28), 0.5, 0.1, 0.5, 1.02),
    "green apple": ("green", (0.52, 0.66, 0.22), (0.66, 0.72, 0.36), 0.5, 0.1, 0.5, 1.02),
    "orange": ("orange", (0.88, 0.48, 0.10), (0.84, 0.56, 0.16), 0.35, 1.0, 0.0, 1.0),
    "lemon": ("yellow", (0.90, 0.80, 0.20), (0.80, 0.80, 0.30), 0.35, 0.9, 0.0, 1.3),
    "tomato": ("red", (0.78, 0.14, 0.08), (0.82, 0.36, 0.14), 0.8, 0.05, 0.0, 1.08),
    "plum": ("purple", (0.26, 0.12, 0.28), (0.42, 0.32, 0.48), 0.25, 0.1, 0.2, 0.9),
    "peach": ("orange", (0.90, 0.62, 0.34), (0.74, 0.24, 0.20), 0.03, 0.2, 0.0, 1.0),
    "potato": ("brown", (0.68, 0.52, 0.32), (0.58, 0.42, 0.26), 0.05, 0.5, 1.0, 1.35),
    "kiwi": ("brown", (0.46, 0.34, 0.20), (0.40, 0.34, 0.18), 0.02, 0.8, 0.0, 1.25),
}
# colour word, shell, its dark, gloss, furrows, width over height
_NUTS: dict[str, tuple[str, RGB, RGB, float, float, float]] = {
    "walnut": ("light brown", (0.68, 0.50, 0.32), (0.40, 0.26, 0.15), 0.1, 1.0, 0.9),
    "almond": ("brown", (0.58, 0.34, 0.18), (0.38, 0.20, 0.10), 0.05, 0.45, 1.7),
    "pistachio": ("beige", (0.82, 0.70, 0.50), (0.56, 0.46, 0.30), 0.1, 0.15, 1.4),
    "acorn": ("brown", (0.50, 0.30, 0.14), (0.36, 0.20, 0.09), 0.6, 0.1, 1.35),
    "coffee bean": ("dark brown", (0.28, 0.17, 0.10), (0.14, 0.08, 0.05), 0.5, 0.2, 1.4),
    "pecan": ("brown", (0.52, 0.28, 0.15), (0.28, 0.13, 0.08), 0.4, 0.3, 1.8),
}


def _body(
    rng: np.random.Generator, n: int, wide: float, size: float, rough: float
) -> tuple[shapes.Outline, Plane]:
    """An outline of its own for this part, and its vault (0 at the rim to 1 in the middle)."""
    outline = shapes.blob(rng, size, rough, 120) * (np.sqrt(wide), 1 / np.sqrt(wide))
    reach = np.hypot(outline[:, 0], outline[:, 1])
    bearing = np.arctan2(outline[:, 1], outline[:, 0])
    order = np.argsort(bearing)
    table = np.interp(np.linspace(-np.pi, np.pi, 720), bearing[order], reach[order], period=2 * np.pi)
    radius, angle = polar(n)
    sector = ((angle + np.float32(np.pi)) * np.float32(719 / (2 * np.pi))).astype(np.int32)
    inside = radius / table.astype(np.float32)[sector]
    vault = np.sqrt(np.maximum(1 - inside * inside, 0)).astype(np.float32)
    # The slope at the very rim is infinite, and no camera shows that.
    return outline, np.asarray(cv2.blur(vault, (max(n // 48, 3),) * 2), np.float32)


# fruit


def _fruit_design(rng: np.random.Generator) -> dict[str, Any]:
    species = pick(rng, tuple(_FRUIT))
    colour, skin, blush, gloss, rough, spots, wide = _FRUIT[species]
    return {
        "colour": colour,
        "material": species.split()[-1],
        "skin": vary(rng, skin, 0.05),
        "blush": vary(rng, blush, 0.06),
        "gloss": gloss * float(rng.uniform(0.6, 1.2)),
        "rough": rough,
        "spots": spots * float(rng.uniform(0.5, 1.5)),
        "wide": wide,
        "stem": species in ("apple", "green apple", "tomato", "plum", "peach") and bool(rng.random() < 0.7),
        "size": float(rng.uniform(0.56, 0.68)),
        "irregular": 0.09 if species == "potato" else 0.035,
        "sepals": species == "tomato",
    }


def _draw_fruit(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    outline, vault = _body(rng, n, design["wide"], design["size"], design["irregular"])
    board = Canvas(n, design["skin"], min(design["gloss"], 1.0))
    board.polygon(outline, relief=FLAT, alpha=255)
    middle = rng.normal(0, 0.05, 2)
    layers = board.layers(shine=24, thickness=0.08)
    x, y = units(n)
    heading = rng.uniform(0, 2 * np.pi)
    side = x * np.float32(np.cos(heading)) + y * np.float32(np.sin(heading))
    blush = np.clip(
        np.float32(0.4) + side * np.float32(0.7) + np.float32(0.3) * noise.fractal(rng, n, 0.3), 0, 1
    )
    layers.albedo[:] += (np.array(design["blush"], np.float32) - layers.albedo) * (blush * np.float32(0.7))[
        ..., None
    ]
    skin = noise.clouds(rng, n, 0.018)
    spots = np.clip(noise.clouds(rng, n, 0.014) - np.float32(1.7), 0, 1) * np.float32(design["spots"] * 0.3)
    value = np.float32(0.02) * noise.white(rng, n) + np.float32(0.03 * design["rough"]) * skin
    layers.albedo[:] = np.clip(layers.albedo * (1 + value[..., None]) + spots[..., None], 0, 1)
    layers.height[:] += vault * np.float32(0.16 * n) + skin * np.float32(0.0012 * design["rough"] * n)
    if design["stem"]:
        away = np.hypot(x - np.float32(middle[0]), y - np.float32(middle[1]))
        hollow = np.exp(-np.square(away * 7))
        layers.height[:] -= hollow * np.float32(0.05 * n)
        layers.albedo[:] *= (1 - np.float32(0.4) * hollow)[..., None]
        _stem(layers, design, rng, n, middle)
    return Layers(layers.albedo, layers.height, layers.gloss, layers.alpha, 24, 0.08, glow=0.25)


def _stem(layers: Layers, design: Design, rng: np.random.Generator, n: int, middle: shapes.Outline) -> None:
    """The stalk, or a tomato's green star."""
    board = Canvas(n)
    heading = float(rng.uniform(0, 2 * np.pi))
    tone: RGB = (0.26, 0.38, 0.14) if design["sepals"] else (0.30, 0.20, 0.12)
    for k in range(5 if design["sepals"] else 1):
        path = shapes.wander(rng, 0.26 if design["sepals"] else 0.16, heading + k * 1.26, 0.12, 10) + middle
        board.polygon(shapes.ribbon(path, np.linspace(0.06, 0.02, len(path))), tone, alpha=255)
    cover = (board.alpha * np.float32(1 / 255))[..., None]
    layers.albedo[:] += (board.colour * np.float32(1 / 255) - layers.albedo) * cover
    layers.height[:] += cover[..., 0] * np.float32(0.008 * n)


# nut


def _nut_design(rng: np.random.Generator) -> dict[str, Any]:
    species = pick(rng, tuple(_NUTS))
    colour, shell, dark, gloss, furrows, wide = _NUTS[species]
    return {
        "colour": colour,
        "material": species.split()[0],
        "shell": vary(rng, shell, 0.05),
        "dark": vary(rng, dark, 0.04),
        "gloss": gloss * float(rng.uniform(0.6, 1.3)),
        "furrows": furrows,
        "wide": wide,
        "size": float(rng.uniform(0.48, 0.6)),
        "seam": species in ("walnut", "coffee bean", "pistachio"),
        "cap": species == "acorn",
    }


def _draw_nut(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    outline, vault = _body(rng, n, design["wide"], design["size"], 0.05)
    board = Canvas(n, design["shell"], design["gloss"])
    board.polygon(outline, relief=FLAT, alpha=255)
    layers = board.layers(shine=20, thickness=0.08)
    x, y = units(n)
    furrows = np.float32(design["furrows"])
    along = noise.streaks(rng, n, 0.3, 0.03) + np.float32(0.5) * noise.streaks(rng, n, 0.12, 0.012)
    wrinkle = np.abs(noise.fractal(rng, n, 0.14, 3)) if design["furrows"] > 0.8 else along * np.float32(0.6)
    dark = np.clip(np.float32(0.35) - wrinkle * np.float32(0.5), 0, 1) * furrows
    if design["seam"]:
        seam = np.exp(-np.square((y + np.float32(0.02) * np.sin(x * 9)) * 28))
        dark = np.maximum(dark, seam * np.float32(0.8))
        layers.height[:] -= seam * np.float32(0.012 * n)
    layers.albedo[:] += (np.array(design["dark"], np.float32) - layers.albedo) * np.clip(dark, 0, 1)[
        ..., None
    ]
    layers.height[:] += vault * np.float32(0.14 * n) + wrinkle * furrows * np.float32(0.008 * n)
    grain = np.float32(0.03) * noise.white(rng, n) + np.float32(0.04) * noise.fractal(rng, n, 0.15)
    if design["cap"]:
        cap = np.clip((np.float32(-0.25) - x) * n / 4, 0, 1)
        scales = noise.clouds(rng, n, 0.03)
        layers.albedo[:] += (np.array((0.42, 0.34, 0.22), np.float32) - layers.albedo) * cap[..., None]
        layers.height[:] += cap * (scales * np.float32(0.006 * n) + np.float32(0.012 * n))
        layers.gloss[:] *= 1 - cap
        grain = grain + cap * scales * np.float32(0.12)
    layers.albedo[:] = np.clip(layers.albedo * (1 + grain[..., None]), 0, 1)
    return layers


FRUIT = Family(
    "fruit",
    "fruit",
    "object",
    ("stain", "hole", "cut", "discolouration", "dent", "crack", "contamination", "scratch"),
    _fruit_design,
    _draw_fruit,
    ("piece of fruit", "fresh fruit", "fruit on a belt"),
)
NUT = Family(
    "nut",
    "nut",
    "object",
    ("crack", "hole", "cut", "stain", "chipped edge", "contamination", "discolouration"),
    _nut_design,
    _draw_nut,
    ("kernel", "nut in its shell", "whole nut"),
)
