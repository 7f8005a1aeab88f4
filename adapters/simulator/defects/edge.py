"""Defects of the outline: chipped edge."""

import numpy as np

from adapters.simulator.defects.damage import Damage, soften
from adapters.simulator.shapes import jagged, turned


def chipped_edge(damage: Damage) -> None:
    """A piece broken out of the edge: the background shows, and along the break the bare inside of the
    material.

    Where the camera sees no edge (a surface), a flake breaks out of the face instead and shows the material
    below.
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
