"""FrameDecoder, ImageCodec and MediaStore: payloads to images, images to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Delivery, Frame, FrameIdentity, Image
from agent.domain.inspection import HeatMap, Inspection


class FrameDecoder(Protocol):
    """Payloads to images, within limits of bytes and pixels."""

    def identify(self, delivery: Delivery) -> FrameIdentity:
        """Which frame this is, without decoding the image. Never raises: a missing id is derived."""
        ...

    def decode(self, delivery: Delivery) -> Frame:
        """Raises FrameError, with as much of the identity as could be read."""
        ...

    def expect(self, delivery: Delivery) -> None:
        """Which frame probably comes after the next one: it may be decoded while that is worked on.

        A hint alone. Never raises, never blocks.
        """
        ...


class ImageCodec(Protocol):
    """Images to files and back."""

    def decode(self, encoded: bytes) -> Image: ...

    def encode_mask(self, mask: NDArray[np.uint8]) -> bytes:
        """(H, W) labels, 0 background and i the i-th defect, as an 8-bit PNG."""
        ...

    def encode_mask_view(self, mask: NDArray[np.uint8]) -> bytes:
        """The same for people: 255 where any defect is, 0 elsewhere."""
        ...

    def encode_overlay(
        self,
        image: Image,
        mask: NDArray[np.uint8] | None,
        inspection: Inspection,
        heat: HeatMap | None = None,
    ) -> bytes:
        """A JPEG for people: the frame with outlines of its defects, its heat map, verdict, score and ids."""
        ...


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file to be stored."""

    content: bytes
    suffix: str
    """Such as ``.png``."""


class MediaStore(Protocol):
    """Content-addressed files: equal bytes are stored once; the store chooses the names."""

    def put_all(self, files: Sequence[MediaFile]) -> Sequence[str]:
        """Store and return the paths, as :meth:`put`. Waits for the disk once for all, not for each."""
        ...

    def put(self, content: bytes, suffix: str) -> str:
        """Store and return the path relative to the media folder. Raises StorageError."""
        ...

    def get(self, path: str) -> bytes:
        """Raises StorageError if the file is missing."""
        ...
