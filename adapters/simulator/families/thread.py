"""``pull``: a thread that came loose from cloth or carpet."""

import cv2
import numpy as np

from adapters.simulator.canvas import Layers, Plane
from adapters.simulator.family import Change
from adapters.simulator.shapes import Outline

_FINE = 16  # fixed-point fractions of a pixel that OpenCV draws with
_POINTS = 64


def pull(layers: Layers, change: Change, pitch: float) -> None:
    """A snag along the weave, or a slack end or loop that lies over the cloth and throws a shadow.

    `pitch` is the distance of the threads in pixels: a loose thread is about as thick as those beside it.
    """
    n = layers.alpha.shape[0]
    rng = change.rng
    width = max(pitch * float(rng.uniform(0.35, 0.6)), 0.006 * n)
    length = n * (0.10 + 0.40 * change.extent)
    snag = rng.random() < 0.4
    path = _snag(rng, length) if snag else _slack(rng, length)
    path += rng.uniform(0.25 * n, 0.75 * n, 2) - path.mean(0)
    cover = _drawn(path, width, n)
    lift = max(round(0.5 * width if snag else 1.2 * width), 1)
    shade = cv2.GaussianBlur(np.roll(cover, (lift, lift), (0, 1)), (0, 0), 0.5 + 0.3 * lift) * (1 - cover)
    layers.albedo[:] *= (1 - np.float32(0.35 + 0.35 * change.strength) * shade)[..., None]
    ground = layers.albedo.mean((0, 1))
    lighter = np.float32(0.10 + 0.30 * change.strength) * (1 if float(ground.mean()) < 0.7 else -1)
    tone = np.clip(ground * (1 + 0.3 * lighter) + lighter, 0, 1)
    layers.albedo[:] += (tone * _twist(path, n, width)[..., None] - layers.albedo) * (0.9 * cover)[..., None]
    layers.height[:] += cv2.GaussianBlur(cover, (0, 0), 0.35 * width) * np.float32(0.5 * width)


def _snag(rng: np.random.Generator, length: float) -> Outline:
    """A thread drawn out along the weave: straight but for a slight sway."""
    along = np.linspace(0, 1, _POINTS)
    sway = 0.012 * length * np.sin(2 * np.pi * (along * rng.uniform(0.5, 1.5) + rng.uniform()))
    path = np.stack([along * length, sway], 1)
    return np.ascontiguousarray(path[:, ::-1]) if rng.random() < 0.5 else path


def _slack(rng: np.random.Generator, length: float) -> Outline:
    """A loose end: its curvature changes slowly, so that it bows, and often closes into a loop."""
    along = np.linspace(0, 1, _POINTS)
    bend = rng.normal(0, 2.0) + rng.normal(0, 3.0) * np.sin(2 * np.pi * (along + rng.uniform()))
    if rng.random() < 0.4:  # a loop near the end
        bend = bend + float(rng.choice((-1, 1))) * 16 * np.exp(-(((along - 0.8) / 0.12) ** 2))
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bend) / _POINTS
    steps = np.stack([np.cos(heading), np.sin(heading)], 1) * (length / _POINTS)
    return np.asarray(np.cumsum(steps, 0))


def _drawn(path: Outline, width: float, n: int) -> Plane:
    """The thread as coverage 0-1, drawn four times as large: it is a few pixels thick."""
    board = np.zeros((4 * n, 4 * n), np.uint8)
    points = np.rint((path * 4 + 1.5) * _FINE).astype(np.int32)
    cv2.polylines(board, [points], False, 255, max(round(4 * width), 1), cv2.LINE_AA, 4)
    return np.asarray(cv2.resize(board, (n, n), interpolation=cv2.INTER_AREA).astype(np.float32) / 255)


def _twist(path: Outline, n: int, width: float) -> Plane:
    """Light and dark along the thread, as its strands turn round each other."""
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    across = path[-1] - path[0]
    angle = float(np.arctan2(across[1], across[0])) + 0.9
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * np.float32(2 * np.pi / max(1.4 * width, 3.0)))
    return np.asarray(1 + np.float32(0.12) * wave, np.float32)
