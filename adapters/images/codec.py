"""``CvImageCodec``: images to files and back with OpenCV, behind :class:`agent.ports.ImageCodec`."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from adapters.images.header import HeaderError
from adapters.images.overlay import draw_overlay, draw_regions
from adapters.images.pixels import InProcessReader, PixelReader
from agent.domain.errors import SightlineError
from agent.domain.frame import MEDIA_TYPE_OF, Image
from agent.domain.inspection import HeatMap, Inspection
from agent.domain.regions import Regions

_OVERLAY_QUALITY = 88
# Filters are for photographs: labels pack as well without, in a third of the time.
_MASK = [cv2.IMWRITE_PNG_COMPRESSION, 4, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


class ImageError(SightlineError):
    """A file without an image, or an image that cannot be written."""


class CvImageCodec:
    """Decodes JPEG and PNG; encodes masks and overlays."""

    def __init__(self, max_pixels: int = 100_000_000, pixels: PixelReader | None = None) -> None:
        """``pixels`` decodes images in place of this process."""
        self._pixels = pixels or InProcessReader(max_pixels)

    def decode(self, encoded: bytes) -> Image:
        """(H, W, 3) uint8 RGB of a JPEG or PNG. Raises ImageError."""
        try:
            return self._pixels(encoded)[1]
        except HeaderError as error:
            raise ImageError(str(error)) from None

    def encode_mask(self, mask: NDArray[np.uint8]) -> bytes:
        """(H, W) labels, 0 background and i the i-th defect, as an 8-bit PNG. Raises ImageError."""
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ImageError(f"a mask is (H, W) uint8, not {mask.shape} {mask.dtype}")
        return _encode(".png", mask, _MASK)

    def encode_mask_view(self, mask: NDArray[np.uint8]) -> bytes:
        """The mask for people: 255 where it has any label, as an 8-bit PNG. Raises ImageError."""
        return self.encode_mask(np.where(mask > 0, np.uint8(255), np.uint8(0)))

    def encode_overlay(
        self,
        image: Image,
        mask: NDArray[np.uint8] | None,
        inspection: Inspection,
        heat: HeatMap | None = None,
    ) -> bytes:
        """A JPEG for people: the frame with outlines of its defects, its heat map, verdict, score and ids.

        Without a mask nothing is outlined, without ``heat`` the frame stands alone.
        """
        labels = np.zeros(image.shape[:2], np.uint8) if mask is None else mask
        drawn = draw_overlay(image, labels, inspection, heat)
        return _encode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _OVERLAY_QUALITY])

    def encode_regions(self, image: Image, regions: Regions, suffix: str) -> bytes:
        """The image with what is not inspected shaded, as JPEG or PNG. Raises ImageError: another suffix."""
        if suffix.lower() not in MEDIA_TYPE_OF:
            raise ImageError(
                f"regions are drawn as {' or '.join(MEDIA_TYPE_OF)}, not as {suffix or 'no type'}"
            )
        return _encode(suffix, draw_regions(image, regions)[..., ::-1], [])


def _encode(suffix: str, pixels: NDArray[np.uint8], options: list[int]) -> bytes:
    try:
        done, encoded = cv2.imencode(suffix, pixels, options)
    except cv2.error as error:
        raise ImageError(f"the image cannot be written: {error}") from None
    if not done:
        raise ImageError("the image cannot be written")
    return encoded.tobytes()
