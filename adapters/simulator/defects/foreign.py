"""``contamination``: foreign things on the part, with their shadow."""

import numpy as np

from adapters.simulator.canvas import Plane
from adapters.simulator.defects.damage import Damage, Spot, soften
from adapters.simulator.shapes import Outline, blob, jagged, ribbon, turned, wander

_FIBRES = ((0.12, 0.12, 0.14), (0.85, 0.85, 0.85), (0.70, 0.15, 0.15), (0.15, 0.25, 0.60), (0.30, 0.20, 0.12))
_CRUMBS = ((0.45, 0.32, 0.18), (0.20, 0.18, 0.16), (0.80, 0.76, 0.66), (0.35, 0.36, 0.38), (0.60, 0.25, 0.12))


def _tone(damage: Damage, spot: Spot, choices: tuple[tuple[float, float, float], ...]) -> Plane:
    """A colour from the list that differs from the ground; weaker defects differ less."""
    ground = spot.albedo.mean((0, 1))
    order = damage.rng.permutation(len(choices))
    colour = np.array(choices[int(order[0])], np.float32)
    for k in order:
        colour = np.array(choices[int(k)], np.float32)
        if float(np.abs(colour - ground).mean()) > 0.15:
            break
    return np.asarray(ground + (colour - ground) * np.float32(0.45 + 0.55 * damage.strength), np.float32)


def _throw_shadow(damage: Damage, spot: Spot, cover: Plane, lift: float) -> None:
    """Darken the ground on the side away from the lamp."""
    dx, dy = round(-damage.light[0] * lift), round(-damage.light[1] * lift)
    cast = np.roll(cover, (dy, dx), (0, 1))
    spot.darken(soften(cast, 0.4 * lift + 0.4) * spot.alpha, 0.25 + 0.3 * damage.strength)


def _fibre(damage: Damage) -> None:
    rng = damage.rng
    width = max(damage.hairline, 0.006 * damage.n * damage.uniform(0.8, 1.6))
    length = float(np.clip(damage.area / width, 8 * width, 0.75 * damage.extent))
    path = wander(rng, length, damage.uniform(0, 6.3), 0.06)
    bend = np.cumsum(np.cumsum(rng.normal(0, 1, (len(path), 2)), 0), 0)
    path = path + bend * (damage.uniform(0.1, 0.3) * length / (np.abs(bend).max() + 1e-6))
    path = path - path.mean(0) + damage.place(0.15 * length)
    outline = ribbon(path, np.full(len(path), width))
    spot = damage.spot(outline, 8)
    cover = spot.stencil(outline) * spot.alpha
    _throw_shadow(damage, spot, cover, 1.0 + 0.008 * damage.n)
    spot.paint(cover, _tone(damage, spot, _FIBRES))
    spot.height += soften(cover, 0.5) * np.float32(width)


def _crumb(damage: Damage) -> None:
    rng = damage.rng
    count = int(rng.choice((1, 1, 2, 4)))
    radius = max(float(np.sqrt(damage.area / np.pi / count)) * 0.95, 1.4 * damage.hairline)
    middle = damage.place(radius)
    outlines: list[Outline] = []
    for _ in range(count):
        size = radius * damage.uniform(0.7, 1.15)
        away = middle + (rng.normal(0, 2.2 * radius, 2) if outlines else 0)
        shape = jagged(rng, size, 8) if rng.random() < 0.6 else blob(rng, size, 0.25)
        outlines.append(turned(shape * (1, damage.uniform(0.6, 1)), damage.uniform(0, 6.3)) + away)
    spot = damage.spot(np.concatenate(outlines), radius + 6)
    cover = spot.stencil(*outlines) * spot.alpha
    _throw_shadow(damage, spot, cover, min(0.5 * radius, 0.025 * damage.n) + 0.8)
    grain = 1 + 0.12 * damage.rng.normal(0, 1, spot.shape).astype(np.float32)
    spot.paint(cover, _tone(damage, spot, _CRUMBS) * grain[..., None])
    spot.height += soften(cover, 0.3 * radius) * np.float32(0.8 * min(radius, 0.04 * damage.n))
    spot.gloss *= 1 - cover


def _metal_chip(damage: Damage) -> None:
    rng = damage.rng
    width = max(float(np.sqrt(damage.area / 4)), 1.4 * damage.hairline)
    path = wander(rng, 4 * width, damage.uniform(0, 6.3), 0.22)
    path = path - path.mean(0) + damage.place(width)
    outline = ribbon(path, width * np.linspace(1.2, 0.5, len(path)))
    spot = damage.spot(outline, 0.5 * width + 7)
    cover = spot.stencil(outline) * spot.alpha
    _throw_shadow(damage, spot, cover, 0.4 * width + 1)
    rows, columns = spot.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    shine = 0.62 + 0.28 * np.sin((x * damage.light[0] + y * damage.light[1]) * 2.2 / max(width, 1.0))
    spot.paint(
        cover * np.float32(0.5 + 0.5 * damage.strength), (shine[..., None] * np.ones(3)).astype(np.float32)
    )
    spot.height += soften(cover, 0.5) * np.float32(0.6 * width)
    spot.gloss += (0.8 - spot.gloss) * cover


def contamination(damage: Damage) -> None:
    """A fibre, crumbs or a metal chip."""
    (_fibre, _fibre, _crumb, _crumb, _metal_chip)[int(damage.rng.integers(5))](damage)
