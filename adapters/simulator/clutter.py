"""``strew``: clutter on the belt beside the part, which is not a defect because it is not on the part."""

import cv2
import numpy as np
import numpy.typing as npt

from adapters.simulator import shapes
from adapters.simulator.canvas import Canvas
from adapters.simulator.colour import METALS, PALETTE, RGB, vary
from adapters.simulator.seeds import generator

_TONES: tuple[RGB, ...] = (*PALETTE.values(), *METALS.values())


def _tone(rng: np.random.Generator) -> RGB:
    return vary(rng, _TONES[int(rng.integers(len(_TONES)))])


def _neighbour(board: Canvas, rng: np.random.Generator) -> None:
    """Draw the rim of another part that reaches into the image."""
    angle = rng.uniform(0, 2 * np.pi)
    size = float(rng.uniform(0.3, 0.6))
    outline = shapes.circle(size) if rng.random() < 0.5 else shapes.rectangle(size, size * 0.8, 0.05)
    # The middle lies far enough outside that the rim stays near the border, also on an image's side.
    away = np.array([np.cos(angle), np.sin(angle)])
    middle = away / np.abs(away).max() * (1 + size * rng.uniform(0.55, 0.9))
    tone = _tone(rng)
    outline = shapes.turned(outline, rng.uniform(0, 6.3), (float(middle[0]), float(middle[1])))
    board.polygon(outline, tone, alpha=255)
    board.stroke(outline, 0.02, vary(rng, tone, 0.3), closed=True)


def strew(ground: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    """The ground (n, n, 3) 0-1 with crumbs, fibres, dust or a neighbouring part on it."""
    rng = generator("strew", seed)
    board = Canvas(ground.shape[0])
    if rng.random() < 0.35:
        _neighbour(board, rng)
    for _ in range(int(rng.integers(0, 7))):
        crumb = shapes.jagged(rng, float(rng.uniform(0.008, 0.035)), 8)
        board.polygon(crumb + rng.uniform(-1, 1, 2), _tone(rng), alpha=255)
    for _ in range(int(rng.integers(0, 4))):
        path = shapes.wander(rng, float(rng.uniform(0.1, 0.5)), rng.uniform(0, 6.3), 0.15)
        fibre = shapes.ribbon(path, np.full(len(path), 0.01)) + rng.uniform(-1, 1, 2)
        board.polygon(fibre, _tone(rng), alpha=255)
    dust = _tone(rng)
    for x, y in rng.uniform(-1, 1, (int(rng.integers(0, 40)), 2)):
        board.disc((float(x), float(y)), 0.006, dust, alpha=170)
    cover = board.alpha.astype(np.float32) / 255
    shade = cv2.GaussianBlur(cover, (0, 0), max(0.008 * board.n, 0.6)) * np.float32(0.4)
    ground = ground * (1 - shade)[..., None]
    return np.asarray(ground + (board.colour * np.float32(1 / 255) - ground) * cover[..., None], np.float32)
