"""Defects along a line: ``scratch``, ``crack``, ``cut``."""

import numpy as np

from adapters.simulator.defects.damage import Damage, soften
from adapters.simulator.shapes import Outline, ribbon, wander


def _tapered(count: int, width: float, rng: np.random.Generator) -> Outline:
    """Widths along a stroke: thin at both ends, uneven between."""
    along = np.linspace(0, 1, count)
    body = np.minimum(1, 6 * np.minimum(along, 1 - along) + 0.25)
    return np.asarray(width * body * np.clip(1 + 0.25 * rng.normal(size=count), 0.4, 1.6))


def scratch(damage: Damage) -> None:
    """One to three thin grooves: lighter or darker along their floor, with a lit and a shaded flank."""
    rng = damage.rng
    strokes = int(rng.choice((1, 1, 1, 2, 3)))
    length = damage.extent * damage.uniform(0.15, 0.75)
    width = float(np.clip(damage.area / (length * strokes), damage.hairline, 0.011 * damage.n))
    length = min(length, max(damage.area / (width * strokes), 5 * width), 1.1 * damage.extent)
    start, heading = damage.place(0.05 * damage.extent), damage.uniform(0, 2 * np.pi)
    side = np.array([-np.sin(heading), np.cos(heading)])
    outlines = []
    for k in range(strokes):
        path = wander(rng, length * damage.uniform(0.6, 1.0), heading + 0.05 * rng.normal(), 0.03)
        middle = start - path.mean(0) + side * k * width * damage.uniform(1.8, 3.5)
        outlines.append(ribbon(path + middle, _tapered(len(path), width, rng)))
    spot = damage.spot(np.concatenate(outlines), 6)
    cover = spot.stencil(*outlines) * spot.alpha
    mean = float(spot.albedo.mean())
    bright = rng.random() < (0.75 if mean < 0.6 else 0.25)
    # A groove bares or dirties the surface: towards grey, not into a stronger colour.
    bare = np.float32(0.92 if bright else 0.05)
    floor = spot.albedo + (bare - spot.albedo) * np.float32(0.3 + 0.65 * damage.strength)
    spot.paint(cover * np.float32(min(0.5 + damage.strength, 1.0)), floor)
    spot.height -= soften(cover, 0.5) * np.float32((0.6 + 1.6 * damage.strength) * max(width, 1.0))
    spot.gloss += (np.float32(0.15 + 0.4 * damage.strength) - spot.gloss) * cover * np.float32(0.5)


def crack(damage: Damage) -> None:
    """A dark, jagged, branching line; it often starts at the edge."""
    rng = damage.rng
    length = damage.extent * damage.uniform(0.2, 0.9)
    width = float(np.clip(damage.area / (1.5 * length), damage.hairline, 0.012 * damage.n))
    length = float(np.clip(damage.area / (1.5 * width), 6 * width, 1.0 * damage.extent))
    if rng.random() < 0.5 and damage.layers.alpha.min() < 0.5:
        start, inward = damage.brink()
        heading = float(np.arctan2(inward[1], inward[0])) + 0.4 * rng.normal()
        trunk = wander(rng, length, heading, 0.28) + start - 0.03 * length * inward
    else:
        trunk = wander(rng, length, damage.uniform(0, 6.3), 0.28)
        trunk = trunk - trunk.mean(0) + damage.place(0.2 * length)
    trunk = trunk + rng.normal(0, 0.008 * length, trunk.shape)
    outlines = [ribbon(trunk, _tapered(len(trunk), width * 1.15, rng))]
    for _ in range(int(rng.integers(0, 4))):
        k = int(rng.integers(4, len(trunk) - 4))
        ahead = trunk[k] - trunk[k - 3]
        heading = float(np.arctan2(ahead[1], ahead[0])) + float(rng.choice((-1, 1))) * damage.uniform(
            0.4, 1.1
        )
        branch = wander(rng, length * damage.uniform(0.12, 0.4), heading, 0.3, 12) + trunk[k]
        outlines.append(ribbon(branch, np.linspace(width * 0.8, width * 0.2, len(branch))))
    spot = damage.spot(np.concatenate(outlines), 6)
    cover = spot.stencil(*outlines) * spot.alpha
    spot.height -= soften(cover, 0.6) * np.float32((0.4 + 1.4 * damage.strength) * max(width, 1.0))
    spot.darken(cover, min(0.3 + 0.75 * damage.strength, 0.95))
    spot.gloss *= 1 - cover


def cut(damage: Damage) -> None:
    """A slit that gapes in the middle: dark inside, its lips raised."""
    rng = damage.rng
    length = float(np.clip(np.sqrt(damage.area * damage.uniform(8, 25)), 8 * damage.hairline, damage.extent))
    width = max(damage.area / (0.7 * length), 1.3 * damage.hairline)
    path = wander(rng, length, damage.uniform(0, 6.3), 0.03)
    path = path - path.mean(0) + damage.place(0.25 * length)
    along = np.linspace(0, 1, len(path))
    outline = ribbon(path, width * (np.sin(np.pi * along) ** 0.7 + 0.08))
    spot = damage.spot(outline, 3 * width + 5)
    cover = spot.stencil(outline) * spot.alpha
    lips = np.maximum(soften(cover, 0.5 * width + 0.8) * 2 - cover, 0)
    spot.height += lips * np.float32((0.3 + damage.strength) * width * 0.8)
    spot.height -= soften(cover, 0.5) * np.float32(width)
    tone = spot.albedo * np.float32(0.75 - 0.65 * damage.strength)
    spot.paint(cover, tone)
    spot.gloss *= 1 - cover
