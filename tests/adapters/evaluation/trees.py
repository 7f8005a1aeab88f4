"""Tiny images and masks on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def draw(path: Path, value: int = 128, size: tuple[int, int] = (8, 6)) -> Path:
    """A grey image of (width, height); folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def draw_mask(
    path: Path,
    value: int = 255,
    size: tuple[int, int] = (8, 6),
    box: tuple[int, int, int, int] = (1, 1, 4, 3),
) -> Path:
    """A grey mask with ``value`` inside the box (x0, y0, x1, y1); value 0 leaves it black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = value
    Image.fromarray(pixels).save(path)
    return path
