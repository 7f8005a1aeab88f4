"""Pictures as a vision model takes them."""

from __future__ import annotations

import cv2
import numpy as np

from agent.domain.errors import ModelError
from agent.domain.frame import Image

LONGEST_SIDE = 768
"""Pixels; vision models cut larger pictures into tiles that fill the context."""
_QUALITY = 90


def jpeg(image: Image, side: int = LONGEST_SIDE) -> bytes:
    """A JPEG file of an (H, W, 3) RGB picture, its longer side at most ``side`` pixels. Raises ModelError."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor < 1.0:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    done, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ModelError("the picture cannot be written as a JPEG")
    return encoded.tobytes()
