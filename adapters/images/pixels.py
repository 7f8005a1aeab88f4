"""``decode_pixels``: files to RGB pixels, within limits. The decode process imports this alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from adapters.images.depth import DEEP, UNKNOWN, KnownDepth, to_levels
from adapters.images.header import Header, HeaderError, admit, check_complete
from agent.domain.frame import Image

NO_MEMORY = "the image takes more memory to decode than one of its size should"


class PixelReader(Protocol):
    """Decodes images."""

    def __call__(self, content: bytes, known: KnownDepth = UNKNOWN) -> tuple[Header, Image]:
        """A whole JPEG or PNG to its header and image. Raises HeaderError."""
        ...

    def expect(self, content: bytes) -> None:
        """Which image comes after the next one, so that nobody waits for it. Never raises, never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class InProcessReader:
    """Decodes in this process, nothing ahead of its time."""

    max_pixels: int

    def __call__(self, content: bytes, known: KnownDepth = UNKNOWN) -> tuple[Header, Image]:
        """As :func:`decode_pixels`."""
        return decode_pixels(content, self.max_pixels, known)

    def expect(self, content: bytes) -> None:
        """Does nothing."""


def decode_pixels(content: bytes, max_pixels: int, known: KnownDepth = UNKNOWN) -> tuple[Header, Image]:
    """Header and (H, W, 3) uint8 RGB image of a whole JPEG or PNG.

    Grey and CMYK become RGB and alpha is dropped. Of 16 bits, the upper eight that the camera uses are read;
    ``known`` is what is known of it. The orientation of EXIF is applied, so that width and height may differ
    from the header.
    Raises HeaderError.
    """
    header, image = decode_bgr(content, max_pixels, known)
    return header, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode_bgr(content: bytes, max_pixels: int, known: KnownDepth = UNKNOWN) -> tuple[Header, Image]:
    """As decode_pixels, but BGR: OpenCV decodes to that order twice as fast."""
    header = admit(content, max_pixels)
    check_complete(content, header)
    deep = cv2.IMREAD_ANYDEPTH if header.depth == DEEP else 0
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_BGR | deep)
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
    if image.dtype == np.uint16:
        highest = int(image.max()).bit_length()
        bits = known.bits(highest, header.stated)
        return replace(header, bits=bits, highest=highest), to_levels(np.asarray(image, np.uint16), bits)
    return header, np.asarray(image, np.uint8)
