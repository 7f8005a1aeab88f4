"""``Canvas`` and the messages that the agent and its decode process exchange.

Messages cross a socket; pixels lie in memory that both processes map, so they are never sent.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

import numpy as np
from numpy.typing import NDArray

REQUEST = struct.Struct("!QQQdBB")
"""Bytes of the image that follows, most pixels, bytes of memory it may take, seconds it may take; bits that
are stated of its camera and bits that were seen (:class:`adapters.images.depth.KnownDepth`)."""
ANSWER = struct.Struct("!BIIHBB")
"""Whether the pixels are there, their height and width, bytes of the sentence that follows if not; bits that
were read and bits of the highest value (:class:`adapters.images.header.Header`)."""
READY = b"R"
KEPT = 64_000_000
"""Bytes that stay mapped from one image to the next; memory beyond them is freed after each image."""


def open_canvas() -> int:
    """Open a file without a name, in memory if the system offers that; the caller closes it.

    /dev/shm would not do: a name there outlives a killed agent, and a container has 64 MB of it.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sightline-pixels")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Canvas:
    """One process's view of the shared file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def grow(self, size: int) -> None:
        """Make the file at least ``size`` bytes long. Raises OSError if there is no room."""
        if os.fstat(self._descriptor).st_size < size:
            os.ftruncate(self._descriptor, size)

    def pixels(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) of shared memory; the file must be large enough. Raises OSError, ValueError."""
        size = height * width * 3
        if self._map is None or len(self._map) < size:
            self._map = None  # the old one first: only one is counted against the limits
            self._map = mmap.mmap(self._descriptor, size)
        return np.frombuffer(self._map, np.uint8, size).reshape(height, width, 3)

    def unmap(self) -> None:
        """Unmap the file after a large image."""
        if self._map is not None and len(self._map) > KEPT:
            self._map = None

    def shrink(self) -> None:
        """Free the memory of a large image. Neither process may still use its pixels."""
        self.unmap()
        if os.fstat(self._descriptor).st_size > KEPT:
            os.ftruncate(self._descriptor, 0)
