"""``WOVEN_CLOTH``, ``WOOD_BOARD``, ``CERAMIC_TILE``, ``LEATHER``, ``STEEL_SHEET``: they fill the image."""

from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise
from adapters.simulator.canvas import Layers, Plane
from adapters.simulator.colour import METALS, PALETTE, contrast_to, mix, pick, vary
from adapters.simulator.families.thread import pull
from adapters.simulator.family import Change, Design, Family


def flat(
    n: int, colour: tuple[float, float, float], value: Plane, height: Plane, gloss: float, shine: float
) -> Layers:
    """A surface of one colour, brighter and darker by `value`."""
    albedo = np.clip(np.array(colour, np.float32) * (1 + value)[..., None], 0, 1).astype(np.float32)
    return Layers(
        albedo,
        height.astype(np.float32),
        np.full((n, n), gloss, np.float32),
        np.ones((n, n), np.float32),
        shine,
    )


def plane(n: int) -> tuple[Plane, Plane]:
    """Coordinates x and y, each (n, n), from 0 to 1."""
    line = np.linspace(0, 1, n, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def cells(rng: np.random.Generator, n: int, size: float) -> tuple[Plane, Plane]:
    """Cells about scattered points of a loose grid: a random tone (-1 to 1) each, and the distance to the
    borders (px).
    """
    step = max(size * n, 3.0)
    count = int(n / step) + 1
    grid = (
        np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1)
        + rng.uniform(0.1, 0.9, (count, count, 2))
    ) * step
    points = np.clip(grid.reshape(-1, 2).astype(int), 0, n - 1)
    ground = np.ones((n, n), np.uint8)
    ground[points[:, 1], points[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(ground, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
    tone = rng.uniform(-1, 1, int(labels.max()) + 1).astype(np.float32)[labels]
    same = np.ones((n, n), np.uint8)
    same[:, 1:] &= (labels[:, 1:] == labels[:, :-1]).astype(np.uint8)
    same[1:] &= (labels[1:] == labels[:-1]).astype(np.uint8)
    inside = cv2.distanceTransform(same, cv2.DIST_L2, 3)
    return tone, np.asarray(inside, np.float32)


# woven cloth


def _cloth_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    warp = vary(rng, PALETTE[colour])
    weft = vary(rng, PALETTE[pick(rng)]) if rng.random() < 0.3 else vary(rng, warp, 0.1)
    return {
        "colour": colour,
        "material": str(rng.choice(("cotton", "linen", "polyester"))),
        "warp": warp,
        "weft": weft,
        "threads": int(rng.integers(18, 44)),
        "weave": str(rng.choice(("plain", "twill", "basket"))),
        "ratio": float(rng.uniform(0.8, 1.25)),
        "uneven": float(rng.uniform(0.03, 0.09)),
        "stripe": int(rng.integers(4, 9)) if rng.random() < 0.3 else 0,
    }


def _draw_cloth(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    threads = design["threads"]
    wave = noise.clouds(rng, n, 0.3) * np.float32(0.0012)
    u = (x + wave) * threads + np.float32(rng.uniform(0, 1))
    v = (y - wave) * np.float32(threads * design["ratio"]) + np.float32(rng.uniform(0, 1))
    column, row = np.floor(u), np.floor(v)
    if design["weave"] == "plain":
        over = (column + row) % 2 < 1
    elif design["weave"] == "twill":
        over = (column + row) % 4 < 2
    else:
        over = (np.floor(column / 2) + np.floor(row / 2)) % 2 < 1
    across = np.where(over, u - column, v - row) - np.float32(0.5)
    along = np.where(over, v - row, u - column) - np.float32(0.5)
    bulge = (1 - 3.2 * across * across) * (1 - 1.0 * along * along)
    warp, weft = np.array(design["warp"], np.float32), np.array(design["weft"], np.float32)
    if design["stripe"]:
        striped = ((column // 3) % design["stripe"] < 1)[..., None]
        warp = np.where(striped, weft * np.float32(0.6), warp)
    tone = np.where(over[..., None], warp, weft)
    uneven = np.float32(design["uneven"])
    value = (
        np.float32(0.3) * (bulge - np.float32(0.6))
        + uneven
        * (noise.streaks(rng, n, 0.3, 0.02) + noise.streaks(rng, n, 0.3, 0.02, vertical=True))
        * np.float32(0.6)
        + np.float32(0.05) * noise.white(rng, n)
    )
    albedo = np.clip(tone * (1 + value)[..., None], 0, 1).astype(np.float32)
    height = (bulge * np.float32(0.14 * n / threads)).astype(np.float32)
    layers = Layers(albedo, height, np.full((n, n), 0.02, np.float32), np.ones((n, n), np.float32), 8)
    if change is not None:
        pull(layers, change, n / threads)
    return layers


# wood board

_WOODS = {
    "oak": (0.66, 0.50, 0.32),
    "beech": (0.76, 0.58, 0.42),
    "walnut": (0.40, 0.27, 0.18),
    "pine": (0.82, 0.66, 0.44),
    "mahogany": (0.48, 0.24, 0.15),
    "maple": (0.84, 0.72, 0.55),
}


def _wood_design(rng: np.random.Generator) -> dict[str, Any]:
    material = pick(rng, tuple(_WOODS))
    return {
        "material": material,
        "colour": "dark brown" if material in ("walnut", "mahogany") else "light brown",
        "tone": vary(rng, _WOODS[material], 0.05),
        "rings": float(rng.uniform(5, 12)),
        "contrast": float(rng.uniform(0.05, 0.11)),
        "bend": float(rng.uniform(0.1, 0.6)),
        "pores": float(rng.uniform(0.006, 0.016)),
        "knotty": float(rng.uniform(0.15, 0.4)) if rng.random() < 0.5 else 0.0,
        "gloss": float(rng.uniform(0.0, 0.25)),
        "vertical": bool(rng.random() < 0.3),
    }


def _knot(rng: np.random.Generator, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """A soft knot, drawn out along the grain: how far it pushes the rings aside, and the distance from its
    middle in its own sizes.
    """
    size = np.float32(rng.uniform(0.03, 0.05))
    across = (x - np.float32(rng.uniform(0.15, 0.85))) / (np.float32(1.6) * size)
    down = (y - np.float32(rng.uniform(0.15, 0.85))) / size
    near = across * across + down * down
    push = np.float32(1.8) * size * np.exp(-near / np.float32(6)) * np.tanh(down)
    return push.astype(np.float32), np.sqrt(near).astype(np.float32)


def _draw_wood(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    drift = noise.streaks(rng, n, 0.8, 0.3) * np.float32(0.05) + noise.streaks(rng, n, 0.5, 0.1) * np.float32(
        0.008
    )
    middle = np.float32(rng.uniform(-0.3, 1.3))
    distance = y + np.float32(design["bend"] * 0.5) * np.square(x - middle) + drift
    phase = np.float32(rng.uniform(0, 1))
    reach = np.full((n, n), 9, np.float32)
    if rng.random() < design["knotty"]:
        push, reach = _knot(rng, x, y)
        distance = distance - push
    # Smooth on both flanks: a sharp late-wood line would pass for a scratch or a crack.
    wave = np.sin((distance * np.float32(design["rings"]) + phase) * np.float32(2 * np.pi))
    ring = wave + np.float32(0.3) * np.square(wave)
    # A knot has rings of its own, closed ones, which give way to the board's.
    own = np.exp(-np.square(reach) * np.float32(0.5))
    ring = ring * (1 - own) + own * (np.sin(reach * np.float32(9)) - np.float32(0.5))
    fibre = noise.streaks(rng, n, 0.06, 0.0) + np.float32(0.7) * noise.streaks(rng, n, 0.3, 0.02)
    value = np.float32(design["contrast"] * 0.6) * ring + np.float32(design["pores"]) * fibre
    value = value - np.float32(0.16) * np.exp(-np.square(reach) * np.float32(0.9))
    height = np.float32(0.0002 * n) * fibre
    layers = flat(n, design["tone"], value.astype(np.float32), height, design["gloss"], 14)
    if design["vertical"]:
        layers.albedo[:] = np.ascontiguousarray(layers.albedo.transpose(1, 0, 2))
        layers.height[:] = layers.height.T.copy()
    return layers


# ceramic tile


def _tile_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng)
    tone = vary(rng, PALETTE[colour])
    return {
        "colour": colour,
        "material": "ceramic",
        "tone": tone,
        "ink": mix(contrast_to(rng, tone), tone, float(rng.uniform(0.2, 0.6))),
        "pattern": str(rng.choice(("plain", "marble", "speckled", "grid", "bands"))),
        "gloss": float(rng.uniform(0.1, 0.7)),
        "count": int(rng.integers(2, 5)),
        "amount": float(rng.uniform(0.02, 0.08)),
        "seed": int(rng.integers(1 << 30)),
    }


def _draw_tile(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    pattern, amount = design["pattern"], np.float32(design["amount"])
    value = amount * noise.fractal(rng, n, 0.25) * np.float32(0.5) + np.float32(0.006) * noise.white(rng, n)
    height = noise.clouds(rng, n, 0.2) * np.float32(0.0005 * n)
    cover = np.zeros((n, n), np.float32)
    if pattern == "marble":
        swirl = noise.fractal(rng, n, 0.4)
        cover = (
            np.exp(-np.square(np.sin(swirl * 2.2 + x * 4) * 5))
            * np.float32(0.6)
            * np.clip(0.5 + 0.5 * noise.clouds(rng, n, 0.3), 0, 1)
        )
    elif pattern == "speckled":
        cover = np.clip(noise.clouds(rng, n, 0.012) - np.float32(1.1), 0, 1)
    elif pattern == "grid":
        count = design["count"]
        across = np.minimum(np.abs((x * count) % 1 - 0.5), np.abs((y * count) % 1 - 0.5)) / count * n
        grout = np.clip(np.float32(0.011 * n) - across + 0.5, 0, 1)
        value = value - np.float32(0.45) * grout
        height = height - cv2.GaussianBlur(grout, (0, 0), max(0.006 * n, 0.6)) * np.float32(0.012 * n)
    elif pattern == "bands":
        waves = np.abs(((x + y) * design["count"] * 1.5) % 1 - np.float32(0.5))
        cover = np.clip((np.float32(0.12) - waves) * n / 6, 0, 1)
    if change is not None:
        gap = _smear(change, n)
        keep = 1 - gap
        cover = cover * keep if cover.any() else cover + gap * np.float32(0.3 + 0.6 * change.strength)
    layers = flat(n, design["tone"], value, height, design["gloss"], 40)
    layers.albedo[:] += (np.array(design["ink"], np.float32) - layers.albedo) * cover.astype(np.float32)[
        ..., None
    ]
    return layers


def _smear(change: Change, n: int) -> Plane:
    """A stroke where the glaze print is missing or smeared."""
    rng = change.rng
    board = np.zeros((n, n), np.uint8)
    middle = rng.uniform(0.2, 0.8, 2) * n
    angle = rng.uniform(0, 3.2)
    length = n * (0.04 + 0.14 * change.extent)
    way = np.array([np.cos(angle), np.sin(angle)]) * length
    ends = np.rint(np.stack([middle - way, middle + way]) * 16).astype(np.int32)
    cv2.polylines(board, [ends], False, 255, max(round(n * (0.02 + 0.05 * change.extent)), 2), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(board, (0, 0), max(0.006 * n, 0.5))
    return np.asarray(soft * np.float32(1 / 255), np.float32)


# leather


def _leather_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(
        rng, ("brown", "black", "beige", "red", "dark blue", "dark green", "grey", "orange", "white")
    )
    return {
        "colour": colour,
        "material": "leather",
        "tone": vary(rng, PALETTE[colour]),
        "cell": float(rng.uniform(0.014, 0.03)),
        "depth": float(rng.uniform(0.3, 0.7)),
        "gloss": float(rng.uniform(0.05, 0.35)),
    }


def _draw_leather(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    cell = design["cell"]
    # Pebbles are cells about scattered points; the creases run where two points are equally far.
    pebble = np.minimum(cells(rng, n, cell)[1] * np.float32(1.6 / (cell * n)), 1)
    pebble = cv2.GaussianBlur(np.sqrt(pebble), (0, 0), max(0.0025 * n, 0.5))
    value = (
        np.float32(0.28) * (pebble - np.float32(0.65))
        + np.float32(0.03) * noise.fractal(rng, n, 0.3)
        + np.float32(0.02) * noise.white(rng, n)
    )
    height = cv2.GaussianBlur(pebble, (0, 0), max(0.004 * n, 0.5)) * np.float32(design["depth"] * 0.014 * n)
    return flat(n, design["tone"], value, height, design["gloss"], 10)


# steel sheet


def _sheet_design(rng: np.random.Generator) -> dict[str, Any]:
    material = pick(rng, ("steel", "aluminium", "copper", "brass"))
    return {
        "material": material,
        "colour": {"copper": "copper-coloured", "brass": "golden"}.get(material, "silver"),
        "tone": vary(rng, METALS[material], 0.05),
        "finish": str(rng.choice(("brushed", "rolled", "galvanised", "embossed"))),
        "gloss": float(rng.uniform(0.1, 0.45)),
        "amount": float(rng.uniform(0.03, 0.08)),
        "pitch": float(rng.uniform(0.06, 0.12)),
    }


def _draw_sheet(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    finish, amount = design["finish"], np.float32(design["amount"])
    height = np.zeros((n, n), np.float32)
    if finish == "brushed":
        texture = noise.streaks(rng, n, 0.7, 0.003) + np.float32(0.5) * noise.streaks(rng, n, 0.2, 0.0)
        height = texture * np.float32(0.0006 * n)
    elif finish == "rolled":
        texture = np.float32(0.5) * noise.streaks(rng, n, 0.9, 0.05) + np.float32(0.6) * noise.white(rng, n)
    elif finish == "galvanised":
        spangle, _ = cells(rng, n, 0.07)
        texture = spangle * np.float32(1.1) + np.float32(0.3) * noise.white(rng, n)
    else:
        x, y = plane(n)
        pitch = np.float32(2 * np.pi / design["pitch"])
        phase = np.float32(rng.uniform(0, 6.3))
        studs = np.clip(
            np.sin((x + y) * pitch + phase) * np.sin((x - y) * pitch + phase) - np.float32(0.45), 0, 1
        )
        texture = noise.white(rng, n) * np.float32(0.4) + studs
        height = cv2.GaussianBlur(studs, (0, 0), max(0.004 * n, 0.5)) * np.float32(0.02 * n)
    return flat(n, design["tone"], (amount * texture).astype(np.float32), height, design["gloss"], 14)


_COMMON = ("stain", "contamination", "discolouration")

WOVEN_CLOTH = Family(
    "woven_cloth",
    "woven cloth",
    "surface",
    (*_COMMON, "hole", "cut", "loose thread"),
    _cloth_design,
    _draw_cloth,
    ("fabric", "cloth", "textile"),
    frozenset({"loose thread"}),
)
WOOD_BOARD = Family(
    "wood_board",
    "wood board",
    "surface",
    (*_COMMON, "scratch", "crack", "dent", "hole"),
    _wood_design,
    _draw_wood,
    ("wooden board", "wood panel", "plank"),
)
CERAMIC_TILE = Family(
    "ceramic_tile",
    "ceramic tile",
    "surface",
    (*_COMMON, "scratch", "crack", "chipped edge", "hole", "misprint"),
    _tile_design,
    _draw_tile,
    ("tile", "glazed tile", "floor tile"),
    frozenset({"misprint"}),
)
LEATHER = Family(
    "leather",
    "leather",
    "surface",
    (*_COMMON, "scratch", "cut", "hole", "dent"),
    _leather_design,
    _draw_leather,
    ("piece of leather", "leather surface", "hide"),
)
STEEL_SHEET = Family(
    "steel_sheet",
    "metal sheet",
    "surface",
    (*_COMMON, "scratch", "dent", "rust", "hole", "crack"),
    _sheet_design,
    _draw_sheet,
    ("sheet metal", "metal surface", "rolled sheet"),
)
