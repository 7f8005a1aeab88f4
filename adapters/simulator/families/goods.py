"""``BISCUIT``, ``TABLET``, ``CAPSULE`` and ``BOTTLE_BASE``: food, medicine and glass."""

from typing import Any

import numpy as np

from adapters.simulator import noise, shapes
from adapters.simulator.canvas import FLAT, Canvas, Layers, Plane
from adapters.simulator.colour import PALETTE, contrast_to, mix, pick, vary
from adapters.simulator.families.plastic import moulded
from adapters.simulator.family import Change, Design, Family

_DARK = (0.05, 0.05, 0.055)


def _grid(n: int) -> tuple[Plane, Plane]:
    line = np.linspace(-1, 1, n, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


# biscuit


def _biscuit_design(rng: np.random.Generator) -> dict[str, Any]:
    style = str(rng.choice(("cracker", "round", "cookie")))
    colour = str(rng.choice(("golden brown", "pale brown", "dark brown")))
    tone = {
        "golden brown": (0.80, 0.58, 0.32),
        "pale brown": (0.88, 0.74, 0.52),
        "dark brown": (0.46, 0.30, 0.18),
    }[colour]
    rows = int(rng.integers(3, 6))
    return {
        "colour": colour,
        "material": "baked dough",
        "tone": vary(rng, tone, 0.05),
        "style": style,
        "rows": rows,
        "columns": rows + int(rng.integers(-1, 2)),
        "size": (float(rng.uniform(0.6, 0.78)), float(rng.uniform(0.55, 0.78))),
        "wave": int(rng.integers(24, 48)),
        "chips": int(rng.integers(6, 16)),
        "rough": float(rng.uniform(0.5, 1.2)),
        "text": str(rng.choice(("", "", "BUTTER", "PETIT", "GRANO", "HAFER"))),
    }


def _draw_biscuit(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone, style = design["tone"], design["style"]
    w, h = design["size"]
    board = Canvas(n, tone, 0.03)
    if style == "cookie":
        outline = shapes.blob(rng, 0.74, 0.06, 60)
    elif style == "round":
        angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        reach = 0.76 + 0.018 * np.cos(angle * design["wave"])
        outline = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]
    else:
        outline = shapes.rectangle(w, h, 0.06)
        middle = np.arctan2(outline[:, 1], outline[:, 0])
        outline = outline * (1 + 0.012 * np.cos(middle * design["wave"]))[:, None]
    board.polygon(outline, relief=FLAT - 10, alpha=255)
    board.polygon(outline * 0.93, relief=FLAT + 10)
    if style == "cookie":
        for _ in range(design["chips"]):
            at = rng.normal(0, 0.33, 2)
            if np.hypot(*at) < 0.62:
                chip = shapes.jagged(rng, float(rng.uniform(0.04, 0.085)), 8) + at
                board.polygon(
                    chip,
                    mix((0.16, 0.09, 0.06), tone, float(rng.uniform(0, 0.15))),
                    relief=FLAT + 34,
                    gloss=0.25,
                )
    else:
        reach = (w, h) if style == "cracker" else (0.56, 0.56)
        for i in range(design["columns"]):
            for j in range(design["rows"]):
                x = reach[0] * 0.78 * (2 * i / max(design["columns"] - 1, 1) - 1)
                y = reach[1] * 0.78 * (2 * j / max(design["rows"] - 1, 1) - 1)
                if design["text"] and abs(y) < 0.14:
                    continue
                jitter = rng.normal(0, 0.006, 2)
                board.disc(
                    (x + float(jitter[0]), y + float(jitter[1])),
                    0.032,
                    mix(tone, _DARK, 0.5),
                    relief=FLAT - 34,
                )
        if design["text"]:
            board.text(design["text"], (0, 0), 0.15, mix(tone, _DARK, 0.28), relief=FLAT - 24, bold=True)
    layers = board.layers(shine=8, thickness=0.05, round_edges=0.02)
    x, y = _grid(n)
    toast = np.square(
        np.maximum(np.abs(x) / max(w, 0.7), np.abs(y) / max(h, 0.7))
        if style == "cracker"
        else np.hypot(x, y) / 0.76
    )
    bake = np.float32(0.22) * np.clip(toast, 0, 1.2) ** 3 + np.float32(0.05) * noise.fractal(rng, n, 0.3)
    crumb = noise.fractal(rng, n, 0.05, 4)
    rough = np.float32(design["rough"])
    value = 1 - bake + np.float32(0.045) * rough * crumb + np.float32(0.03) * noise.white(rng, n)
    layers.albedo[:] = np.clip(
        layers.albedo * value[..., None] ** np.array((0.8, 1.1, 1.5), np.float32), 0, 1
    )
    lump = 1.6 if style == "cookie" else 0.8
    layers.height[:] += rough * (
        crumb * np.float32(0.0035 * lump * n) + noise.clouds(rng, n, 0.1) * np.float32(0.004 * lump * n)
    )
    return layers


# tablet


def _tablet_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(
        rng, ("white", "white", "beige", "pink", "yellow", "light blue", "orange", "red", "green", "purple")
    )
    tone = vary(rng, PALETTE[colour], 0.04)
    return {
        "colour": colour,
        "material": "pressed powder",
        "tone": tone,
        "ink": contrast_to(rng, tone),
        "oblong": bool(rng.random() < 0.4),
        "score": int(rng.integers(3)),
        "text": "".join(rng.choice(list("ABDEGHKLMNPRSTXZ0123456789"), int(rng.integers(1, 4)))),
        "coated": bool(rng.random() < 0.5),
        "dome": float(rng.uniform(0.05, 0.12)),
        "speckle": float(rng.uniform(0.005, 0.03)),
        "printed": bool(rng.random() < 0.35),
        "round": float(rng.uniform(0.62, 0.76)),
    }


def _draw_tablet(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    tone = design["tone"]
    w, h = (0.78, 0.4) if design["oblong"] else (design["round"], design["round"])
    board = Canvas(n, tone, 0.45 if design["coated"] else 0.05)
    outline = shapes.rectangle(w, h, h) if design["oblong"] else shapes.circle(h, 120)
    board.polygon(outline, relief=FLAT - 30, alpha=255)
    board.polygon(outline - np.sign(outline) * 0.05 * np.abs(outline) / max(w, h), relief=FLAT)
    shift, fade = (0.0, 0.0), 1.0
    text = design["text"]
    if change is not None:
        way = int(change.rng.integers(3))
        if way == 0:
            a = change.rng.uniform(0, 6.3)
            shift = (
                float(np.cos(a)) * (0.06 + 0.14 * change.extent),
                float(np.sin(a)) * (0.06 + 0.1 * change.extent),
            )
        elif way == 1:
            fade = 0.7 - 0.65 * change.strength
        else:
            text = ""
    if design["score"]:
        board.stroke([(0, -h * 0.92), (0, h * 0.92)], 0.03, mix(tone, _DARK, 0.12), relief=FLAT - 34)
    if text:
        ink = design["ink"] if design["printed"] else mix(tone, _DARK, 0.14)
        relief = None if design["printed"] else int(FLAT - 30 * fade)
        x = (w * 0.45 if design["oblong"] else 0.3) if design["score"] else 0.0
        board.text(
            text,
            (x + shift[0], shift[1]),
            0.24 if len(text) < 3 else 0.18,
            ink,
            relief=relief,
            bold=True,
            fade=fade,
        )
    layers = moulded(
        board.layers(shine=30 if design["coated"] else 8, thickness=0.07, round_edges=0.01),
        rng,
        design["speckle"],
    )
    x, y = _grid(n)
    inside = 1 - np.square(np.maximum(np.abs(x) - (w - h), 0) / h) - np.square(y / h)
    layers.height[:] += np.sqrt(np.maximum(inside, 0.0)) * np.float32(design["dome"] * n)
    if design["speckle"] > 0.02:
        layers.albedo[:] *= (1 - np.float32(0.25) * np.clip(noise.clouds(rng, n, 0.01) - 1.6, 0, 1))[
            ..., None
        ]
    return layers


# capsule


def _capsule_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("red", "blue", "green", "orange", "yellow", "purple", "pink", "turquoise"))
    other = pick(rng, ("white", "beige", "yellow", "grey", "light blue"))
    return {
        "colour": f"{colour} and {other}",
        "material": "gelatine",
        "tones": (vary(rng, PALETTE[colour]), vary(rng, PALETTE[other])),
        "ink": contrast_to(rng, PALETTE[colour]),
        "text": "".join(rng.choice(list("ABDEGHKLMNPRSTXZ0123456789"), int(rng.integers(2, 5)))),
        "gloss": float(rng.uniform(0.4, 0.8)),
        "radius": float(rng.uniform(0.24, 0.3)),
        "split": float(rng.uniform(-0.12, 0.12)),
    }


def _draw_capsule(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    first, second = design["tones"]
    radius = design["radius"]
    board = Canvas(n, second, design["gloss"])
    board.polygon(shapes.rectangle(0.78, radius * 0.96, radius * 0.95), second, relief=FLAT - 6, alpha=255)
    split = design["split"] + float(rng.normal(0, 0.006))
    cap = shapes.rectangle(0.8, radius, radius)
    board.polygon(np.minimum(cap, (split, 9.0)), first, relief=FLAT, alpha=255)
    board.stroke([(split, -radius), (split, radius)], 0.014, mix(first, _DARK, 0.4))
    shift, fade = 0.0, 1.0
    text = design["text"]
    if change is not None:
        way = int(change.rng.integers(3))
        if way == 0:
            shift = float(change.rng.choice((-1, 1))) * (0.05 + 0.08 * change.extent)
        elif way == 1:
            fade = 0.7 - 0.65 * change.strength
        else:
            text = ""
    if text:
        board.text(text, ((split - 0.8) / 2, shift), 0.16, design["ink"], bold=True, fade=fade)
    layers = moulded(board.layers(shine=40, thickness=0.08), rng)
    x, y = _grid(n)
    inside = 1 - np.square(np.maximum(np.abs(x) - (0.79 - radius), 0) / radius) - np.square(y / radius)
    layers.height[:] += np.sqrt(np.maximum(inside, 0.0)) * np.float32(radius * 0.3 * n)
    return layers


# bottle base


def _base_design(rng: np.random.Generator) -> dict[str, Any]:
    colour = pick(rng, ("green", "brown", "white", "light blue", "dark green"))
    tone = PALETTE[colour] if colour != "white" else (0.72, 0.76, 0.76)
    return {
        "colour": "clear" if colour == "white" else colour,
        "material": "glass",
        "tone": vary(rng, tone, 0.05),
        "rings": [float(v) for v in np.sort(rng.uniform(0.2, 0.7, int(rng.integers(3, 6))))],
        "ribs": int(rng.choice((0, 36, 60, 80))),
        "text": "".join(rng.choice(list("0123456789"), 2)),
        "gloss": float(rng.uniform(0.6, 1.0)),
        "mark": bool(rng.random() < 0.7),
        "clear": float(rng.uniform(0.15, 0.42)),
    }


def _draw_base(design: Design, rng: np.random.Generator, n: int, change: Change | None) -> Layers:
    """Looked at from below: the thick heel is dark and bright in rings, the thin middle lets the ground
    through.
    """
    tone = design["tone"]
    board = Canvas(n, mix(tone, _DARK, 0.55), design["gloss"])
    board.disc((0, 0), 0.83, relief=FLAT - 24, alpha=255)
    board.disc((0, 0), 0.79, tone, relief=FLAT - 4)
    board.ring((0, 0), 0.765, 0.02, mix(tone, (1, 1, 1), 0.55))
    board.ring((0, 0), 0.7, 0.05, mix(tone, _DARK, 0.45))
    board.disc((0, 0), 0.64, mix(tone, _DARK, 0.15), relief=FLAT - 12)
    for k, radius in enumerate(design["rings"]):
        light = mix(tone, (1, 1, 1), 0.35) if k % 2 else mix(tone, _DARK, 0.4)
        board.ring((0, 0), radius, 0.012 + 0.016 * (k % 3), light, relief=FLAT + (6 if k % 2 else -16))
    for k in range(design["ribs"]):
        angle = 2 * np.pi * k / design["ribs"]
        ray = np.array([(np.cos(angle), np.sin(angle))])
        board.stroke(
            np.concatenate([ray * 0.67, ray * 0.735]), 0.016, mix(tone, (1, 1, 1), 0.3), relief=FLAT + 4
        )
    if design["mark"]:
        board.text(design["text"], (0, 0), 0.12, mix(tone, (1, 1, 1), 0.25), relief=FLAT + 8, bold=True)
    layers = board.layers(shine=60, thickness=0.05, round_edges=0.006)
    x, y = _grid(n)
    radius = np.hypot(x, y)
    wave = np.float32(design["rings"][0] * 20)
    caustic = np.float32(0.12) * np.sin(radius * 23 + wave) * np.cos(2 * np.arctan2(y, x) + wave)
    # The glass throws the lamp back in two crescents on opposite sides of its heel.
    crescent = np.exp(-np.square((radius - np.float32(0.735)) * 40)) * np.square(
        np.cos(np.arctan2(y, x) + wave)
    )
    streaky = caustic + np.float32(0.02) * noise.clouds(rng, n, 0.12)
    layers.albedo[:] = np.clip(
        layers.albedo * (1 + streaky[..., None]) + np.float32(0.5) * crescent[..., None], 0, 1
    )
    layers.height[:] += noise.clouds(rng, n, 0.2) * np.float32(0.0012 * n)
    thin = np.clip((np.float32(0.66) - radius) * 12, 0, 1)
    layers.alpha[:] *= 1 - np.float32(design["clear"]) * thin
    return layers


BISCUIT = Family(
    "biscuit",
    "biscuit",
    "object",
    ("crack", "chipped edge", "hole", "discolouration", "contamination", "stain"),
    _biscuit_design,
    _draw_biscuit,
    ("cookie", "cracker", "baked biscuit"),
)
TABLET = Family(
    "tablet",
    "tablet",
    "object",
    ("crack", "chipped edge", "stain", "contamination", "discolouration", "misprint", "scratch", "hole"),
    _tablet_design,
    _draw_tablet,
    ("pill", "pharmaceutical tablet", "round pill"),
    frozenset({"misprint"}),
)
CAPSULE = Family(
    "capsule",
    "capsule",
    "object",
    ("crack", "dent", "stain", "contamination", "discolouration", "misprint", "scratch", "hole"),
    _capsule_design,
    _draw_capsule,
    ("medicine capsule", "gelatine capsule", "pharmaceutical capsule"),
    frozenset({"misprint"}),
)
BOTTLE_BASE = Family(
    "bottle_base",
    "glass bottle base",
    "object",
    ("chipped edge", "crack", "contamination", "scratch", "stain"),
    _base_design,
    _draw_base,
    ("bottle bottom", "glass bottle", "bottle base"),
)
