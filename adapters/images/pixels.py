"""Files to RGB pixels, within limits."""

from __future__ import annotations

import cv2
import numpy as np

from adapters.images.header import Header, HeaderError, check_complete, read_header
from agent.frame import Image


def decode_pixels(content: bytes, max_pixels: int) -> tuple[Header, Image]:
    """Header and (H, W, 3) uint8 RGB picture of a whole JPEG or PNG.

    Grey becomes RGB, 16 bits become 8, CMYK becomes RGB, the orientation of EXIF is applied (the picture
    may then be turned against the header), alpha is dropped: a camera's pixels are what they are.
    Raises HeaderError.
    """
    header = read_header(content)
    if header.pixels > max_pixels:
        raise HeaderError(
            f"the picture claims {header.width:,} x {header.height:,} pixels, at most {max_pixels:,} are "
            "decoded; send a smaller one or raise frames.max_pixels"
        )
    check_complete(content, header)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise HeaderError(f"the picture cannot be decoded: {error.err or error}") from None
    if image is None:
        raise HeaderError(
            f"the {header.media_type.removeprefix('image/').upper()} cannot be decoded, it is damaged"
        )
    if sorted(image.shape[:2]) != sorted((header.height, header.width)):
        raise HeaderError("the picture's size is not the one that its header claims")
    return header, np.ascontiguousarray(image, dtype=np.uint8)
