"""``decode_pixels``: files to RGB pixels, within limits. The decode process imports this alone."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from adapters.images.header import Header, HeaderError, admit, check_complete
from agent.domain.frame import Image

NO_MEMORY = "the image takes more memory to decode than one of its size should"
PixelReader = Callable[[bytes], tuple[Header, Image]]
"""A whole JPEG or PNG to its header and image. Raises HeaderError."""


def pixel_reader(max_pixels: int) -> PixelReader:
    """The reader that decodes in this process."""
    return lambda content: decode_pixels(content, max_pixels)


def decode_pixels(content: bytes, max_pixels: int) -> tuple[Header, Image]:
    """Header and (H, W, 3) uint8 RGB image of a whole JPEG or PNG.

    Grey and CMYK become RGB, 16 bits become 8, and alpha is dropped. The orientation of EXIF is applied, so
    that width and height may differ from the header.
    Raises HeaderError.
    """
    header, image = decode_bgr(content, max_pixels)
    return header, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode_bgr(content: bytes, max_pixels: int) -> tuple[Header, Image]:
    """As decode_pixels, but BGR: OpenCV decodes to that order twice as fast."""
    header = admit(content, max_pixels)
    check_complete(content, header)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_BGR)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise HeaderError(NO_MEMORY) from None
        raise HeaderError(f"the image cannot be decoded: {error.err or error}") from None
    if image is None:
        raise HeaderError(
            f"the {header.media_type.removeprefix('image/').upper()} cannot be decoded, it is damaged"
        )
    if sorted(image.shape[:2]) != sorted((header.height, header.width)):
        raise HeaderError("the image's size is not the one that its header claims")
    return header, np.asarray(image, np.uint8)
