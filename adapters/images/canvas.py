"""Memory that the agent and its decoder both see: pixels cross without being sent."""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

KEPT = 64_000_000
"""Bytes that stay mapped from one image to the next; what a larger one takes is given back after it."""


def open_canvas() -> int:
    """A file without a name, in memory where the system offers that; the caller closes it.

    Neither a name in /dev/shm, which would outlive a killed agent, nor its size, 64 MB in a container.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("sightline-pixels")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Canvas:
    """One side's view of the file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def grow(self, size: int) -> None:
        """Make the file at least so large. Raises OSError: there is no room."""
        if os.fstat(self._descriptor).st_size < size:
            os.ftruncate(self._descriptor, size)

    def pixels(self, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) of shared memory, the file being large enough. Raises OSError, ValueError."""
        size = height * width * 3
        if self._map is None or len(self._map) < size:
            self._map = None  # the old one first: only one is counted against the limits
            self._map = mmap.mmap(self._descriptor, size)
        return np.frombuffer(self._map, np.uint8, size).reshape(height, width, 3)

    def forget(self) -> None:
        """After a large image: map no more than KEPT."""
        if self._map is not None and len(self._map) > KEPT:
            self._map = None

    def shrink(self) -> None:
        """After a large image, with no pixels in use on either side: give its memory back."""
        self.forget()
        if os.fstat(self._descriptor).st_size > KEPT:
            os.ftruncate(self._descriptor, 0)
