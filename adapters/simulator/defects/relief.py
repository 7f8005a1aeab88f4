"""Defects of shape: dent, hole."""

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
    # The floor of the hole lies in the shade of the wall that stands towards the lamp.
    rows, columns = spot.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    middle = outline.mean(0) - np.asarray(spot.origin)
    slope = ((x - middle[0]) * -damage.light[0] + (y - middle[1]) * -damage.light[1]) / max(radius, 1.0)
    depth = np.clip(0.9 - 0.5 * (1 - damage.strength) - 0.15 * slope, 0.3, 0.97)
    spot.albedo *= (1 - depth * cover)[..., None]
    spot.gloss *= 1 - cover
