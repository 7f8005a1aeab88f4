"""``ReferenceImages``: the references of a recipe, read one by one, within one memory however many."""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Iterable, Sequence
from io import FileIO
from typing import Protocol, Self, overload

import cv2
import numpy as np

from agent.domain.form import ImageForm
from agent.domain.frame import Image

logger = logging.getLogger(__name__)

HELD_BYTES = 32 * 2**20
"""What is held in memory by default; the rest is read again, from a file without a name if there is room."""
_SMALL_BYTES = 4 * 2**20
"""A larger image that is not reduced stays where it is: the file would not hold many."""
SPOOL_BYTES = 8 * 2**30
"""The most that this file takes."""


class ImageSource(Protocol):
    """Where references come from."""

    def read(self, index: int) -> Image:
        """(H, W, 3) RGB, every time anew. Raises SightlineError."""
        ...


class Advancing(Protocol):
    """What counts parts of a work that are done (:class:`agent.enrollment.progress.Progress`)."""

    def advance(self) -> None: ...


class ReferenceImages(Sequence[Image]):
    """Images that are reduced when they are read, to what a method needs of them (:meth:`need`).

    They stay in memory within a limit, and all of them in a temporary file as far as the disk has room.
    Images that neither holds are read from their source and reduced again. From memory they are dropped at
    random: methods read all from first to last, and the least recently used would always be needed next.
    """

    def __init__(self, source: ImageSource, count: int, *, limit_bytes: int = HELD_BYTES) -> None:
        """``count`` images of ``source``, none of which is read yet."""
        self._held = _Held(source, limit_bytes)
        self._indices: tuple[int, ...] = tuple(range(count))
        self._progress: Advancing | None = None
        self._unread: set[int] = set()

    @classmethod
    def of(cls, images: Sequence[Image]) -> ReferenceImages:
        """The same, if they are given as such; images in memory stay as they are."""
        if isinstance(images, ReferenceImages):
            return images
        made = cls(_Given(images), len(images), limit_bytes=0)
        made._held.reduces = False
        return made

    def only(self, indices: Iterable[int]) -> Self:
        """Those images alone, in the order of the indices; the memory is shared."""
        part = object.__new__(type(self))
        part._held, part._progress, part._unread = self._held, None, set()
        part._indices = tuple(self._indices[index] for index in indices)
        return part

    def reporting(self, progress: Advancing) -> Self:
        """The same images; ``progress`` advances when one of them is read for the first time."""
        part = self.only(range(len(self)))
        part._progress, part._unread = progress, set(part._indices)
        return part

    def need(self, side: int | None) -> None:
        """From here on images serve whose shorter side has ``side`` pixels; None: every pixel counts."""
        self._held.need(side)

    @property
    def forms(self) -> list[ImageForm]:
        """What each image is like, as it was before it was reduced."""
        return [self._held.form(index) for index in self._indices]

    @property
    def held_bytes(self) -> int:
        """Of the images in memory, those of all parts together; at most the limit."""
        return self._held.bytes

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> ReferenceImages: ...
    def __getitem__(self, index: int | slice) -> Image | ReferenceImages:
        if isinstance(index, slice):
            return self.only(range(len(self))[index])
        held = self._indices[index]
        if self._progress is not None and held in self._unread:
            self._unread.discard(held)
            self._progress.advance()
        return self._held.image(held)


class _Held:
    """The images in memory and the forms of all that were read."""

    def __init__(self, source: ImageSource, limit_bytes: int) -> None:
        self._source = source
        self._limit = limit_bytes
        self._side: int | None = None
        self._needed = False
        self.reduces = True
        self._images: dict[int, Image] = {}
        self._forms: dict[int, ImageForm] = {}
        self._spool = _Spool()
        self._random = random.Random(0)
        self.bytes = 0

    def need(self, side: int | None) -> None:
        if not self.reduces:
            return
        larger = self._side is not None and (side is None or side > self._side)
        if larger or not self._needed:
            if larger:
                self._images, self.bytes, self._spool = {}, 0, _Spool()
            self._side, self._needed = side, True

    def image(self, index: int) -> Image:
        known = self._images.get(index)
        if known is not None:
            return known
        image = self._spool.read(index)
        if image is None:
            image = self._read(index)
        if image.nbytes <= self._limit:
            while self.bytes > self._limit - image.nbytes:
                gone = self._images.pop(self._random.choice(list(self._images)))
                self.bytes -= gone.nbytes
            self._images[index] = image
            self.bytes += image.nbytes
        return image

    def _read(self, index: int) -> Image:
        whole = self._source.read(index)
        if index not in self._forms:
            self._forms[index] = ImageForm.of(whole)
        image = whole if self._side is None else reduced(whole, self._side)
        if image is not whole or whole.nbytes <= _SMALL_BYTES:
            self._spool.write(index, image)
        return image

    def form(self, index: int) -> ImageForm:
        if index not in self._forms:
            self.image(index)
        return self._forms[index]


class _Spool:
    """Images in a temporary file that has no name, so that nothing is left whatever ends the process."""

    def __init__(self) -> None:
        self._file: FileIO | None = None
        self._places: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._end = 0
        self._full = False

    def write(self, index: int, image: Image) -> None:
        """Keep an image, unless there is no room."""
        if self._full or index in self._places:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as this object
            self._file.seek(self._end)
            if self._file.write(np.ascontiguousarray(image).data) != image.nbytes:
                raise OSError("the disk is full")
        except OSError as error:
            self._full = True
            logger.info("references are read again from where they are kept: %s", error)
            return
        self._places[index] = (self._end, image.shape)
        self._end += image.nbytes
        self._full = self._end >= SPOOL_BYTES

    def read(self, index: int) -> Image | None:
        """None if it was not kept, or cannot be read any more."""
        place = self._places.get(index)
        if place is None or self._file is None:
            return None
        image = np.empty(place[1], np.uint8)
        self._file.seek(place[0])
        return image if self._file.readinto(image.data.cast("B")) == image.nbytes else None


class _Given:
    """Images that are in memory anyway."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images

    def read(self, index: int) -> Image:
        return self._images[index]


def reduced(image: Image, side: int) -> Image:
    """The image at the smallest whole fraction of its size whose shorter side is at least ``side``.

    Each pixel is the mean of a square of the original. An image less than twice as large stays as it is.
    """
    height, width = image.shape[:2]
    factor = min(height, width) // side
    if factor < 2:
        return image
    size = (width // factor, height // factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
