"""``drawn``: the frames and the recipe that are measured with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.domain.recipe import Recipe

DISTINCT_FRAMES = 8
"""Images are drawn before timing starts, and used again in turn."""
_SEED = 7


def parse_size(text: str) -> tuple[int, int]:
    """``640x480`` as (width, height). Raises ConfigurationError."""
    width, times, height = text.lower().partition("x")
    if not (times and width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 16):
        raise ConfigurationError(f"--size is written like 640x480, at least 16 pixels a side, not {text!r}")
    return int(width), int(height)


def drawn(count: int, width: int, height: int) -> list[Image]:
    """Good parts of one simulated product, in frames of (height, width)."""
    import cv2
    import numpy as np

    from adapters.simulator import Product, Station, draw

    product, station = Product.create("gear", _SEED), Station.fixed(_SEED)
    side = max(width, height)
    squares = (draw(product, station, _SEED + index, size=side).image for index in range(count))
    return [
        np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for one in squares
    ]


def drawn_recipe(method: str, shots: int) -> Recipe:
    """Of so many drawn references."""
    from agent.domain.recipe import Reference, template_recipe

    names = [f"drawn {index}" for index in range(shots)]
    return replace(
        template_recipe("bench", method, "gear"),
        references=tuple(Reference(name, name, name) for name in names),
    )
