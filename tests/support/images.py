"""Images of parts: grey with some noise, and a coloured spot where there is a defect."""

from __future__ import annotations

import numpy as np

from agent.domain.frame import Image


def part(seed: int, *, side: int = 64, noise: float = 6.0) -> Image:
    """A good part: grey, seeded noise."""
    generator = np.random.default_rng(seed)
    light = generator.normal(0.0, 2.0)
    pixels = 128.0 + light + generator.normal(0.0, noise, size=(side, side, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def spotted(seed: int, *, box: tuple[int, int, int, int] = (40, 16, 16, 16), side: int = 64) -> Image:
    """The same with a red spot at ``box`` (x, y, width, height)."""
    image = part(seed, side=side)
    x, y, width, height = box
    image[y : y + height, x : x + width] = (255, 0, 0)
    return image
