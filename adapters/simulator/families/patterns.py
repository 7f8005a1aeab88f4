"""``METAL_MESH``, ``ANODISED``, ``PATTERNED_PAPER`` and ``SOLAR_CELL``: surfaces that repeat themselves."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import Canvas, Layers, Plane, units
from adapters.simulator.colour import METALS, PALETTE, RGB, contrast_to, mix, pick, vary
from adapters.simulator.families.surfaces import cells, flat, plane
from adapters.simulator.family import Change, Design, Family

# metal mesh


def _mesh_design(rng: np.random.Generator) -> dict[str, Any]:
    material = pick(rng, ("steel", "steel", "aluminium", "brass", "copper", "blackened steel"))
    words = {"brass": "golden", "copper": "copper-coloured", "blackened steel": "black"}
    ground = float(rng.choice((0.06, 0.12, 0.45, 0.8)))
    return {
        "colour": words.get(material, "silver"),
        "material": material,
        "tone": vary(rng, METALS[material], 0.06),
        "kind": str(rng.choice(("woven", "woven", "round", "square", "diamond"))),
        "count": int(rng.integers(7, 20)),
        "bar": float(rng.uniform(0.22, 0.5)),
        "ground": vary(rng, (ground, ground, ground), 0.04),
        "gloss": float(rng.uniform(0.2, 0.7)),
    }


def _mesh_strain(change: Change | None, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """The coordinates with a place where the wires were pushed aside."""
    if change is None or change.kind != "bent":
        return x, y
    middle, heading = change.rng.uniform(0.25, 0.75, 2), change.rng.uniform(0, 2 * np.pi)
    reach = 0.04 + 0.08 * change.extent
    away = np.square(x - np.float32(middle[0])) + np.square(y - np.float32(middle[1]))
    push = np.float32((0.5 + 0.3 * change.strength) * reach) * np.exp(-away / np.float32(reach * reach))
    return x + push * np.float32(np.cos(heading)), y + push * np.float32(np.sin(heading))


def _wires(u: Plane, v: Plane, bar: float, lost: tuple[int, int, int]) -> tuple[Plane, Plane]:
    """Cover and height of wires that go over and under; `lost` is (column, first row, last row) of a gap."""
    column, row = np.floor(u), np.floor(v)
    level = np.float32(np.pi)
    planes = []
    for across, along, index, other in ((u, v, column, row), (v, u, row, column)):
        d = (across - index - np.float32(0.5)) * np.float32(2 / bar)
        dome = np.sqrt(np.maximum(1 - d * d, 0))
        lift = np.cos(level * (along - np.float32(0.5) + index)) * (1 if other is row else -1)
        present = dome > 0
        if other is row:
            present &= ~((index == lost[0]) & (row >= lost[1]) & (row <= lost[2]))
        planes.append(np.where(present, dome * np.float32(0.6 * bar) + lift * np.float32(0.35 * bar), -9))
    top = np.maximum(planes[0], planes[1])
    return (top > -5).astype(np.float32), np.maximum(top, np.float32(-bar)).astype(np.float32)


def _holes(kind: str, u: Plane, v: Plane, bar: float, sharp: float, lost: tuple[int, int, int]) -> Plane:
    """Cover of a sheet with round or square holes; `lost` is (column, first row, last row) not punched."""
    du, dv = (np.abs(w - np.floor(w) - np.float32(0.5)) for w in (u, v))
    far = np.hypot(du, dv) if kind == "round" else np.maximum(du, dv)
    cover = np.clip((far - np.float32(0.5 - bar / 2)) * np.float32(sharp) + np.float32(0.5), 0, 1)
    row = np.floor(v)
    blind = (np.floor(u) == lost[0]) & (row >= lost[1]) & (row <= lost[2])
    return np.asarray(np.where(blind, 1, cover), np.float32)


def _draw_mesh(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    x, y = plane(n)
    count, bar, kind = design["count"], design["bar"], design["kind"]
    wave = noise.clouds(rng, n, 0.35) * np.float32(0.0008)
    x, y = _mesh_strain(change, x + wave + np.float32(rng.uniform(0, 0.2)), y - wave)
    if kind == "diamond":
        x, y = x + y * np.float32(0.6), x - y * np.float32(0.6)
    u, v = x * np.float32(count), y * np.float32(count)
    if kind == "round":
        u = np.asarray(u + np.float32(0.5) * (np.floor(v) % 2), np.float32)
    lost = (-999, 0, 0)
    if change is not None and change.kind == "missing part":
        row, column = (int(k) for k in change.rng.integers(n // 5, n * 4 // 5, 2))
        first = int(np.floor(v[row, column]))
        lost = (int(np.floor(u[row, column])), first, first + int(2.5 * change.extent))
    if kind == "woven":
        cover, height = _wires(u, v, bar, lost)
    else:
        cover = _holes(kind, u, v, bar, n / count, lost)
        height = cover * np.float32(0.25)
    soft = cv2.GaussianBlur(height * np.float32(n / count), (0, 0), max(0.003 * n, 0.5))
    height = np.asarray(soft, np.float32)
    grain = np.float32(0.04) * noise.white(rng, n) + np.float32(0.03) * noise.streaks(rng, n, 0.3, 0.006)
    layers = flat(n, design["tone"], grain, height, design["gloss"], 24)
    hole = 1 - cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.5)
    shade = 1 - np.float32(0.5) * cv2.GaussianBlur(cover.astype(np.float32), (0, 0), max(0.01 * n, 0.6))
    ground = np.array(design["ground"], np.float32) * (shade * (1 + grain))[..., None]
    layers.albedo[:] += (ground - layers.albedo) * hole[..., None]
    layers.gloss[:] *= 1 - hole
    return layers


# anodised aluminium


def _anodised_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("silver", "black", "golden", "red", "blue", "green", "orange", "purple", "grey"))
    tone: RGB = {"silver": (0.70, 0.71, 0.72), "golden": (0.72, 0.58, 0.30)}.get(colour) or PALETTE[colour]
    return {
        "colour": colour,
        "material": "aluminium",
        "tone": mix(vary(rng, tone), (0.6, 0.6, 0.62), 0.15),
        "brushing": str(rng.choice(("across", "upright", "round"))),
        "amount": float(rng.uniform(0.02, 0.06)),
        "long": float(rng.choice((0.15, 0.5, 1.2))),
        "gloss": float(rng.uniform(0.25, 0.7)),
        "shine": float(rng.uniform(14, 60)),
        "grooves": int(rng.integers(5, 30)) if rng.random() < 0.3 else 0,
    }


def _draw_anodised(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    way = design["brushing"]
    if way == "round":
        x, y = units(n)
        # Turning marks: one profile along the radius, the same all the way round.
        profile = noise.white(rng, n)[: n // 2].ravel()[: 2 * n] + noise.streaks(rng, n, 0.3, 0.0)[0].repeat(
            2
        )
        radius = np.hypot(x, y)
        texture = profile[np.minimum((radius * np.float32(0.9 * n)).astype(np.int32), 2 * n - 1)]
        along = radius
    else:
        texture = noise.streaks(rng, n, design["long"], 0.002) + np.float32(0.6) * noise.streaks(
            rng, n, 0.2, 0.004
        )
        texture = texture.T if way == "upright" else texture
        along = plane(n)[0 if way == "upright" else 1]
    texture = np.ascontiguousarray(texture, np.float32)
    height = texture * np.float32(0.0004 * n)
    value = np.float32(design["amount"]) * texture
    if design["grooves"]:
        groove = np.clip(np.sin(along * np.float32(6.283 * design["grooves"])) * 6 - 5, 0, 1)
        value, height = value - np.float32(0.2) * groove, height - groove * np.float32(0.004 * n)
    return replace(flat(n, design["tone"], value, height, design["gloss"], design["shine"]), brushing=way)


# patterned paper


def _paper_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(
        rng, ("white", "beige", "light blue", "pink", "yellow", "grey", "dark blue", "green", "black")
    )
    tone = vary(rng, PALETTE[colour], 0.05)
    return {
        "colour": colour,
        "material": "paper",
        "tone": tone,
        "inks": (contrast_to(rng, tone), mix(contrast_to(rng, tone), tone, float(rng.uniform(0, 0.5)))),
        "motif": str(rng.choice(("dots", "stars", "flowers", "leaves", "letters", "checks", "hexagons"))),
        "count": int(rng.integers(4, 10)),
        "staggered": bool(rng.random() < 0.6),
        "size": float(rng.uniform(0.22, 0.36)),
        "letter": "".join(rng.choice(list("ABDEKMNRSTX8"), int(rng.integers(1, 4)))),
        "turn": float(rng.uniform(0, 6.3)),
        "coated": float(rng.choice((0.02, 0.02, 0.25, 0.5))),
    }


def _motif(board: Canvas, design: Design, at: shapes.Outline, pitch: float, inks: tuple[RGB, RGB]) -> None:
    """One printed figure; its second ink may lie elsewhere."""
    kind, size = design["motif"], design["size"] * pitch
    place = (float(at[0]), float(at[1]))
    first, second = inks
    if kind == "dots":
        board.disc(place, size, first)
        board.disc(place, size * 0.45, second)
    elif kind == "stars":
        star = shapes.circle(size * 1.2, 10) * np.where(np.arange(10) % 2, 0.45, 1.0)[:, None]
        board.polygon(shapes.turned(star, design["turn"], place), first)
    elif kind == "flowers":
        for x, y in shapes.turned(shapes.circle(size * 0.65, 5), design["turn"], place):
            board.disc((float(x), float(y)), size * 0.45, first)
        board.disc(place, size * 0.35, second)
    elif kind == "leaves":
        half = np.linspace(0, np.pi, 10)
        leaf = np.stack([np.cos(half), 0.4 * np.sin(half)], 1) * size * 1.4
        board.polygon(shapes.turned(np.concatenate([leaf, -leaf]), design["turn"], place), first)
        board.stroke(shapes.turned(leaf[[0, -1]], design["turn"], place), 0.01, second)
    elif kind == "letters":
        board.text(design["letter"], place, size * 1.1, first, bold=True)
    elif kind == "checks":
        board.polygon(shapes.moved(shapes.rectangle(pitch / 4, pitch / 4), place), first)
        board.polygon(shapes.moved(shapes.rectangle(pitch / 4, pitch / 4), at + pitch / 2), second)
    else:
        board.stroke(shapes.circle(size * 1.4, 6, place), 0.08 * pitch, first, closed=True)
        board.disc(place, size * 0.3, second)


def _draw_paper(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, count = design["tone"], design["count"]
    pitch = 2 / count
    board = Canvas(n, tone, design["coated"], opaque=True)
    start = rng.normal(0, 0.006, 2) - 1 - pitch / 2
    density = float(rng.uniform(0, 0.06))
    inks = (mix(design["inks"][0], tone, density), mix(design["inks"][1], tone, density))
    hit, way, push = np.full(2, -9.0), 0, np.zeros(2)
    if change is not None:
        hit, way = change.rng.uniform(-0.6, 0.6, 2), int(change.rng.integers(3))
        push = change.rng.normal(0, 1, 2)
        push *= pitch * (0.15 + 0.2 * change.strength) / (np.linalg.norm(push) + 1e-6)
    reach = 0.55 * pitch * (1 + 1.2 * (change.extent if change else 0))
    for j in range(count + 2):
        for i in range(count + 2):
            at = start + np.array([i + 0.5 * (j % 2) * design["staggered"], j]) * pitch
            struck = change is not None and float(np.abs(at - hit).max()) < reach
            if not struck or change is None:
                _motif(board, design, at, pitch, inks)
            elif way == 1:
                _motif(board, design, at + push, pitch, inks)
            elif way == 2:
                pale = 0.3 + 0.6 * change.strength
                _motif(board, design, at, pitch, (mix(inks[0], tone, pale), mix(inks[1], tone, pale)))
    layers = board.layers(shine=14)
    fibre = noise.fractal(rng, n, 0.03, 3)
    grain = np.float32(0.016) * fibre + np.float32(0.012) * noise.white(rng, n)
    layers.albedo[:] = np.clip(layers.albedo * (1 + grain[..., None]), 0, 1)
    layers.height[:] = fibre * np.float32(0.0004 * n) + noise.clouds(rng, n, 0.5) * np.float32(0.002 * n)
    return layers


# solar cell


def _solar_design(rng: np.random.Generator) -> dict[str, Any]:
    poly = bool(rng.random() < 0.6)
    colour = pick(rng, ("blue", "dark blue", "black"))
    tone: RGB = {"blue": (0.12, 0.24, 0.52), "dark blue": (0.08, 0.13, 0.32)}.get(colour, (0.07, 0.08, 0.10))
    return {
        "colour": colour,
        "material": "silicon",
        "tone": vary(rng, tone, 0.03),
        "shards": float(rng.uniform(0.06, 0.16)) if poly else 0.0,
        "contrast": float(rng.uniform(0.1, 0.35)),
        "buses": int(rng.integers(2, 6)),
        "fingers": int(rng.integers(24, 56)),
        "silver": vary(rng, (0.76, 0.77, 0.78), 0.04),
        "width": float(rng.uniform(0.02, 0.05)),
        "gloss": float(rng.uniform(0.1, 0.5)),
        "gap": float(rng.uniform(-0.5, 0.5)) if rng.random() < 0.4 else 9.0,
    }


def _draw_solar(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    board = Canvas(n, (0, 0, 0), 0.0, opaque=True)
    count, buses = design["fingers"], design["buses"]
    x0, y0 = rng.normal(0, 0.004, 2)
    white: RGB = (1.0, 1.0, 1.0)
    for k in range(count):
        y = float(y0) + 2 * (k + 0.5) / count - 1
        board.stroke([(-1.1, y), (1.1, y)], 0.008, (0.35, 0.35, 0.35))
    for k in range(buses):
        x = float(x0) + 2 * (k + 0.5) / buses - 1
        board.polygon(shapes.moved(shapes.rectangle(design["width"] / 2 + 0.01, 1.1), (x, 0)), white)
    if change is not None:
        size = np.array([0.05 + 0.2 * change.extent, 0.04 + 0.12 * change.extent])
        at = change.rng.uniform(-0.6, 0.6, 2)
        if change.rng.random() < 0.4:
            # The paste ran; otherwise fingers and bus are not printed there.
            board.polygon(shapes.blob(change.rng, 0.5, 0.3) * size * 1.4 + at, white)
        else:
            board.polygon(shapes.moved(shapes.rectangle(*size), at), (0, 0, 0))
    print_on = np.asarray(board.colour[..., 0] * np.float32(1 / 255), np.float32)
    value = np.float32(0.03) * noise.white(rng, n) + np.float32(0.05) * noise.clouds(rng, n, 0.4)
    if design["shards"]:
        shard, _ = cells(rng, n, design["shards"])
        value = value + np.float32(design["contrast"]) * shard
    height = np.asarray(print_on * np.float32(0.004 * n), np.float32)
    layers = flat(n, design["tone"], value, height, design["gloss"], 24)
    layers.albedo[:] += (np.array(design["silver"], np.float32) - layers.albedo) * print_on[..., None]
    if design["gap"] < 2:
        edge = units(n)[1] - np.float32(design["gap"] + rng.normal(0, 0.004))
        gap = np.clip((np.float32(0.025) - np.abs(edge)) * n / 2, 0, 1)
        layers.albedo[:] += (np.float32(0.86) - layers.albedo) * gap[..., None]
    return layers


_COMMON = ("stain", "contamination", "discolouration")

METAL_MESH = Family(
    "metal_mesh",
    "metal mesh",
    "surface",
    ("missing part", "bent", "rust", "contamination", "stain"),
    _mesh_design,
    _draw_mesh,
    ("wire mesh", "metal grid", "perforated sheet", "grille"),
    frozenset({"missing part", "bent"}),
)
ANODISED = Family(
    "anodised_aluminium",
    "anodised aluminium",
    "surface",
    (*_COMMON, "scratch", "dent", "hole", "crack"),
    _anodised_design,
    _draw_anodised,
    ("brushed metal", "brushed aluminium", "anodised sheet"),
)
PATTERNED_PAPER = Family(
    "patterned_paper",
    "patterned paper",
    "surface",
    (*_COMMON, "misprint", "cut", "hole", "scratch"),
    _paper_design,
    _draw_paper,
    ("printed paper", "wrapping paper", "wallpaper"),
    frozenset({"misprint"}),
)
SOLAR_CELL = Family(
    "solar_cell",
    "solar cell",
    "surface",
    (*_COMMON, "crack", "chipped edge", "scratch", "misprint"),
    _solar_design,
    _draw_solar,
    ("photovoltaic cell", "solar panel", "silicon cell"),
    frozenset({"misprint"}),
)
