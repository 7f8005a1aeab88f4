"""Defects of colour: ``stain``, ``discolouration``, ``rust``."""

import numpy as np

from adapters.simulator import noise
from adapters.simulator.canvas import Plane
from adapters.simulator.defects.damage import Damage, Spot, soften
from adapters.simulator.shapes import blob, turned

_LIQUIDS = (
    (0.30, 0.22, 0.10),  # oil
    (0.10, 0.12, 0.28),  # ink
    (0.25, 0.14, 0.08),  # coffee
    (0.12, 0.12, 0.12),  # grease
    (0.45, 0.40, 0.34),  # dirty water
    (0.50, 0.10, 0.10),  # paint
    (0.85, 0.84, 0.80),  # chalk, lime
)


def _patch(damage: Damage, spot: Spot, cell: float) -> Plane:
    """A cut of cloudy noise of the window's shape."""
    rows, columns = spot.shape
    return noise.fractal(damage.rng, damage.n, cell)[:rows, :columns]


def stain(damage: Damage) -> None:
    """A translucent blotch, often darker along its rim where it dried, sometimes with splashes beside it."""
    rng = damage.rng
    radius = max(float(np.sqrt(damage.area / np.pi)), 1.6 * damage.hairline)
    middle = damage.place(0.5 * radius)
    outlines = [turned(blob(rng, radius, 0.3) * (1, damage.uniform(0.6, 1)), damage.uniform(0, 3.2)) + middle]
    for _ in range(int(rng.choice((0, 0, 0, 1, 3)))):
        away = middle + rng.normal(0, 1.3 * radius, 2)
        outlines.append(blob(rng, radius * damage.uniform(0.12, 0.3), 0.2) + away)
    spot = damage.spot(np.concatenate(outlines), 0.3 * radius + 4)
    cover = soften(spot.stencil(*outlines), 0.08 * radius) * spot.alpha
    inner = soften(cover, 0.22 * radius)
    body = cover * (0.75 + 0.18 * np.clip(_patch(damage, spot, 0.12), -2, 2))
    if rng.random() < 0.5:
        body = body * (1.15 - 0.55 * inner)
    liquid = np.array(_LIQUIDS[int(rng.integers(len(_LIQUIDS)))], np.float32)
    if float(np.abs(liquid - spot.albedo.mean((0, 1))).mean()) < 0.12:
        liquid = liquid * 0.4 if spot.albedo.mean() > 0.3 else 1 - liquid * 0.3
    opacity = np.clip(body * np.float32(0.15 + 0.7 * damage.strength), 0, 0.95)
    spot.paint(opacity, liquid)
    wet = damage.uniform(-0.15, 0.3)
    spot.gloss += np.maximum(cover * np.float32(wet), -spot.gloss)


def discolouration(damage: Damage) -> None:
    """A soft region of another tone: burnt, bleached, overheated or wrongly dyed."""
    rng = damage.rng
    radius = max(float(np.sqrt(damage.area / np.pi)) * 1.25, 3 * damage.hairline)
    outline = blob(rng, radius, 0.3) * (1, damage.uniform(0.5, 1.0))
    outline = turned(outline, damage.uniform(0, 3.2)) + damage.place(0.4 * radius)
    spot = damage.spot(outline, 0.9 * radius)
    cover = soften(spot.stencil(outline), 0.28 * radius) * spot.alpha
    cover = cover * np.clip(1 + 0.15 * _patch(damage, spot, 0.2), 0.4, 1.4)
    mean = float(spot.albedo.mean())
    kind = int(rng.integers(4))
    amount = np.float32(0.2 + 0.75 * damage.strength)
    if kind == 0 or (kind == 1 and mean > 0.75):  # burnt
        target = spot.albedo * np.array((0.50, 0.38, 0.30), np.float32)
    elif kind == 1:  # bleached
        target = spot.albedo + (1 - spot.albedo) * np.float32(0.55)
    elif kind == 2:  # yellowed
        target = spot.albedo * np.array((1.02, 0.88, 0.50), np.float32) + np.array(
            (0.06, 0.03, 0.0), np.float32
        )
    else:  # another hue
        shift = rng.normal(0, 1, 3).astype(np.float32)
        shift *= np.float32(0.3) / (np.abs(shift).max() + np.float32(1e-3))
        target = np.clip(spot.albedo + shift, 0.02, 0.98)
    spot.paint(np.clip(cover * amount, 0, 1), target)


def rust(damage: Damage) -> None:
    """Orange-brown, rough, speckled patches without shine."""
    rng = damage.rng
    radius = max(float(np.sqrt(damage.area / np.pi)) * 1.3, 2 * damage.hairline)
    middle = damage.place(0.7 * radius)
    sizes = [radius, *(radius * damage.uniform(0.15, 0.45) for _ in range(int(rng.integers(0, 4))))]
    spread = [np.zeros(2), *rng.normal(0, 1.2 * radius, (len(sizes) - 1, 2))]
    outlines = [blob(rng, size, 0.33) + middle + away for size, away in zip(sizes, spread, strict=True)]
    spot = damage.spot(np.concatenate(outlines), 0.5 * radius + 4)
    grain = _patch(damage, spot, 0.06)
    cover = soften(spot.stencil(*outlines), 0.12 * radius) * spot.alpha
    cover = np.clip(cover * 1.6 + 0.35 * grain - 0.45, 0, 1) * np.minimum(cover * 3, 1)
    tone = np.array((0.46, 0.22, 0.09), np.float32) * (1 + 0.22 * np.clip(grain, -2, 2))[..., None]
    spot.paint(cover * np.float32(0.3 + 0.7 * damage.strength), tone)
    spot.height += cover * grain * np.float32(0.5)
    spot.gloss *= 1 - cover * np.float32(0.9)
