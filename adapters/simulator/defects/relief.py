"""Defects of shape: ``dent``, ``hole``, ``chipped_edge``."""

import numpy as np

from adapters.simulator.defects.damage import Damage, soften
from adapters.simulator.shapes import blob, jagged, turned


def dent(damage: Damage) -> None:
    """A smooth hollow (seldom a bump) that shows by its shading alone: one flank lit, the other dark."""
    rng = damage.rng
    radius = max(float(np.sqrt(damage.area / np.pi)), 2.5 * damage.hairline)
    outline = blob(rng, radius, 0.15)
    squeeze = damage.uniform(0.55, 1.0)
    outline = turned(outline * (1, squeeze), damage.uniform(0, 3.2)) + damage.place(1.3 * radius)
    spot = damage.spot(outline, radius)
    bowl = soften(spot.stencil(outline), 0.38 * radius * squeeze)
    sign = 1 if rng.random() < 0.2 else -1
    depth = (0.25 + 1.25 * damage.strength) * radius * squeeze * 0.75
    spot.height += sign * bowl * np.float32(depth)
    spot.darken(bowl * spot.alpha, 0.05 + 0.22 * damage.strength)
    if rng.random() < 0.4:
        spot.gloss += bowl * np.float32(0.1)


def hole(damage: Damage) -> None:
    """A dark opening with a rim that catches the light; round as drilled, or torn."""
    rng = damage.rng
    radius = max(float(np.sqrt(damage.area / np.pi)) * 0.9, 1.3 * damage.hairline)
    torn = rng.random() < 0.5
    outline = jagged(rng, radius, 11) if torn else blob(rng, radius, 0.08)
    outline = outline * (1, damage.uniform(0.7, 1.0))
    outline = turned(outline, damage.uniform(0, 3.2)) + damage.place(1.6 * radius)
    spot = damage.spot(outline, 0.5 * radius + 5)
    cover = spot.stencil(outline) * spot.alpha
    rim = np.maximum(soften(cover, 0.16 * radius + 0.6) * 1.6 - cover, 0) * spot.alpha
    spot.height += rim * np.float32((0.5 + damage.strength) * max(0.2 * radius, 0.8))
    spot.paint(rim * np.float32(0.5 * damage.strength), np.clip(spot.albedo * 1.3 + 0.08, 0, 1))
    # The wall towards the lamp shades the floor of the hole.
    rows, columns = spot.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    middle = outline.mean(0) - np.asarray(spot.origin)
    slope = ((x - middle[0]) * -damage.light[0] + (y - middle[1]) * -damage.light[1]) / max(radius, 1.0)
    depth = np.clip(0.9 - 0.5 * (1 - damage.strength) - 0.15 * slope, 0.3, 0.97)
    spot.albedo *= (1 - depth * cover)[..., None]
    spot.gloss *= 1 - cover


def chipped_edge(damage: Damage) -> None:
    """A piece broken out of the edge: the background shows, and the bare material along the break.

    If the camera sees no edge (a surface), a flake breaks out of the face and shows the material below.
    """
    rng = damage.rng
    radius = max(float(np.sqrt(damage.area / np.pi)) * 1.3, 1.8 * damage.hairline)
    surface = float(damage.layers.alpha.min()) > 0.5
    if surface:
        middle, inward = damage.place(radius), np.array([1.0, 0.0])
        radius *= 0.8
    else:
        edge, inward = damage.brink()
        middle = edge - inward * radius * damage.uniform(0.0, 0.35)
    heading = float(np.arctan2(inward[1], inward[0]))
    outline = turned(jagged(rng, radius, 10) * (damage.uniform(0.6, 1.0), 1.0), heading) + middle
    border = 0.5 * radius + 5
    spot = damage.spot(outline, border)
    cover = spot.stencil(outline)
    band = np.clip(soften(cover, 0.18 * radius + 0.7) * 2.2, 0, 1) * spot.alpha
    inside = np.clip(
        spot.albedo * np.float32(damage.uniform(0.8, 1.0)) + np.float32(damage.uniform(-0.12, 0.25)), 0, 1
    )
    spot.paint(band * np.float32(0.35 + 0.6 * damage.strength), inside)
    spot.height -= soften(cover, 0.22 * radius + 0.5) * np.float32(max(0.35 * radius, 1.2))
    spot.gloss *= 1 - band * np.float32(0.8)
    if surface:
        grain = rng.normal(0, 0.06, spot.shape).astype(np.float32)
        tone = float(spot.albedo.mean())
        base = tone + (0.25 if tone < 0.5 else -0.22) * (0.4 + 0.6 * damage.strength)
        spot.paint(cover, np.clip(base + grain, 0, 1)[..., None])
        spot.height -= soften(cover, 0.6) * np.float32(max(0.2 * radius, 1.0))
    else:
        spot.alpha *= 1 - cover
