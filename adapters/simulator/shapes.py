"""``circle``, ``rectangle``, ``blob`` and others: outlines in units that families and defects share."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Outline = npt.NDArray[np.float64]


def turned(points: Outline, angle: float, centre: tuple[float, float] = (0.0, 0.0)) -> Outline:
    """Points turned by `angle` radians about the origin, then moved to `centre`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(centre))


def moved(points: Outline, by: Iterable[float]) -> Outline:
    return np.asarray(points + np.asarray(tuple(by)))


def circle(radius: float, count: int = 64, centre: tuple[float, float] = (0.0, 0.0)) -> Outline:
    """A regular polygon near a circle."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1) * radius + np.asarray(centre)


def rectangle(half_width: float, half_height: float, corner: float = 0.0) -> Outline:
    """A rectangle about the origin, its corners rounded by `corner`."""
    corner = min(corner, half_width, half_height)
    if corner <= 0:
        w, h = half_width, half_height
        return np.array([(-w, -h), (w, -h), (w, h), (-w, h)], np.float64)
    quarter = np.linspace(0, np.pi / 2, 7)
    arcs = []
    for k, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        angle = quarter + k * np.pi / 2
        middle = np.array([sx * (half_width - corner), sy * (half_height - corner)])
        arcs.append(middle + corner * np.stack([np.cos(angle), np.sin(angle)], 1))
    return np.concatenate(arcs)


def blob(rng: np.random.Generator, radius: float, rough: float = 0.25, count: int = 40) -> Outline:
    """A closed wavy outline around the origin; `rough` is the play of its radius."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    reach = np.ones(count)
    for wave in range(2, 7):
        reach += rough / wave**0.8 * rng.normal() * np.cos(wave * angle + rng.uniform(0, 6.3))
    reach = np.maximum(reach, 0.35)
    return np.stack([np.cos(angle), np.sin(angle)], 1) * (reach * radius)[:, None]


def jagged(rng: np.random.Generator, radius: float, corners: int = 9) -> Outline:
    """A broken, angular outline around the origin."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.6, 1.25, corners) * radius
    return np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]


def wander(rng: np.random.Generator, length: float, heading: float, turn: float, count: int = 24) -> Outline:
    """A path from the origin of about `length`, its heading walking by deviation `turn` a step."""
    headings = heading + np.cumsum(rng.normal(0, turn, count))
    steps = np.stack([np.cos(headings), np.sin(headings)], 1) * (length / count)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])


def ribbon(path: Outline, widths: npt.NDArray[np.float64]) -> Outline:
    """The polygon of a path with a width at each point."""
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    half = across * widths[:, None] / 2
    return np.concatenate([path + half, (path - half)[::-1]])
