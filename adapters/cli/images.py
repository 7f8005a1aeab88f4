"""``ImageFile``: image files in a stable order, read within the same limits as frames of a camera."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.domain.errors import FrameError, SightlineError
from agent.domain.frame import MEDIA_TYPE_OF, Camera, Delivery, DeliveryKind, Frame
from agent.domain.names import name_from
from agent.ports import FrameDecoder

_FILES = Camera("local", "files", "cli")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on disk."""

    path: Path
    name: str
    """Relative to the folder that was named, with slashes: the same on every run and machine."""

    @property
    def media_type(self) -> str:
        """By the file's suffix."""
        return MEDIA_TYPE_OF[self.path.suffix.lower()]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image file that could not be read, and why."""

    file: ImageFile
    reason: str


def find(paths: Sequence[Path]) -> list[ImageFile]:
    """Images among files and, recursively, in folders; sorted within each.

    Raises SightlineError: nothing there, no image in a folder, or a file whose name is not that of an image.
    """
    found: list[ImageFile] = []
    for path in paths:
        if path.is_dir():
            files = sorted(
                file for file in path.rglob("*") if file.suffix.lower() in MEDIA_TYPE_OF and file.is_file()
            )
            if not files:
                raise SightlineError(f"there is no JPEG or PNG in {path}")
            found += [ImageFile(file, file.relative_to(path).as_posix()) for file in files]
        elif not path.exists():
            raise SightlineError(f"there is no file or folder {path}")
        elif path.suffix.lower() not in MEDIA_TYPE_OF:
            raise SightlineError(f"{path} is not a JPEG or PNG by its name")
        else:
            found.append(ImageFile(path, path.name))
    return found


def read(files: Sequence[ImageFile], decoder: FrameDecoder) -> Iterator[Frame | Unreadable]:
    """Each file decoded, or why it could not be."""
    for file in files:
        try:
            payload = file.path.read_bytes()
        except OSError as error:
            yield Unreadable(file, str(error.strerror or error))
            continue
        delivery = Delivery(
            DeliveryKind.FRAME,
            _FILES,
            payload,
            datetime.now(UTC),
            properties={"frame_id": name_from(file.name)},
            content_type=file.media_type,
        )
        try:
            yield decoder.decode(delivery)
        except FrameError as error:
            yield Unreadable(file, error.reason)
