"""Truth masks: read as they are on disk, brought to the size of the evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from agent.domain.errors import ConfigurationError

Mask = NDArray[np.bool_]


def read_mask(path: Path, *, above: int = 0) -> Mask:
    """(H, W), True where a pixel's value is above ``above``.

    Read raw: VisA's masks hold class numbers from 1, which a conversion to colour or to 8 bits could
    turn to black; of several channels the highest counts, transparency does not.

    Raises:
        ConfigurationError: the file is missing or is no image.
    """
    try:
        with Pillow.open(path) as opened:
            plain = opened.convert("RGB") if opened.mode == "RGBA" else opened
            plain = opened.convert("L") if opened.mode == "LA" else plain
            values = np.asarray(plain)
    except FileNotFoundError:
        raise ConfigurationError(f"the mask {path} is missing") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ConfigurationError(f"the mask {path} cannot be read: {error}") from error
    if values.ndim == 3:
        values = values.max(axis=2)
    return np.asarray(values > above, dtype=bool)


def resize_mask(mask: Mask, size: int, *, smooth: bool = True) -> Mask:
    """(size, size): bilinear with antialiasing, cut above one half; or the nearest pixel (METHODS 0.3)."""
    if mask.shape == (size, size):
        return mask
    if smooth:
        grey = Pillow.fromarray(mask.astype(np.float32))
        return np.asarray(grey.resize((size, size), Pillow.Resampling.BILINEAR)) > 0.5
    plain = Pillow.fromarray(mask.astype(np.uint8))
    return np.asarray(plain.resize((size, size), Pillow.Resampling.NEAREST)) > 0
