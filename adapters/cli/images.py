"""``ImageFile``: image files in a stable order, read within the same limits as frames of a camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapters.cli.screen import plain, plural, stderr
from adapters.images.decoder import PayloadDecoder
from adapters.images.depth import DEEP
from adapters.images.header import HeaderError, media_type, read_header
from agent.domain.errors import FrameError, SightlineError
from agent.domain.frame import MEDIA_TYPE_OF, Camera, Delivery, DeliveryKind, Frame, is_hidden
from agent.domain.names import name_from

_OTHER_IMAGES = frozenset(
    f".{name}"
    for name in (
        "apng", "arw", "avif", "bmp", "cr2", "cr3", "dib", "dng", "exr", "fits", "gif", "heic", "heif", "ico",
        "j2k", "jls", "jp2", "jpx", "jxl", "nef", "orf", "pbm", "pcx", "pgm", "pnm", "ppm", "psd", "raf",
        "raw", "rw2", "svg", "tga", "tif", "tiff", "webp",
    )
)  # fmt: skip


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

    @property
    def folder(self) -> str:
        """The name of the folder that was named, or that a named file lies in."""
        depth = len(Path(self.name).parts)
        return self.path.absolute().parents[depth - 1].name


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image file that could not be read, and why."""

    file: ImageFile
    reason: str


def find(paths: Sequence[Path], *, without: Path | None = None) -> list[ImageFile]:
    """Images among files and, recursively, in folders; sorted within each.

    Hidden files and folders are left out, and so is what lies in ``without``. Images of other types are left
    out as well, and named on stderr: a person may believe that they were read.

    Raises SightlineError: nothing there, no image in a folder, or a file whose name is not that of an image.
    """
    found: list[ImageFile] = []
    for path in paths:
        if path.is_dir():
            files = sorted(_visible(path, without))
            images = [file for file in files if file.suffix.lower() in MEDIA_TYPE_OF]
            others = Counter(file.suffix.lower() for file in files if file.suffix.lower() in _OTHER_IMAGES)
            named = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
            if not images:
                also = f", but {named}; convert these" if named else ""
                raise SightlineError(f"there is no JPEG or PNG in {path}{also}")
            if named:
                stderr().print(
                    f"[yellow]left out:[/] {plain(path)} also holds {named}; JPEG and PNG are read, so "
                    "convert what you need",
                    soft_wrap=True,
                )
            found += [ImageFile(file, file.relative_to(path).as_posix()) for file in images]
        elif not path.exists():
            raise SightlineError(f"there is no file or folder {path}")
        elif path.suffix.lower() not in MEDIA_TYPE_OF:
            raise SightlineError(f"{path} is not a JPEG or PNG by its name")
        else:
            found.append(ImageFile(path, path.name))
    return found


def _visible(folder: Path, without: Path | None) -> Iterator[Path]:
    """The files below a folder that nobody hid."""
    excluded = None if without is None else without.resolve()
    for file in folder.rglob("*"):
        if any(is_hidden(part) for part in file.relative_to(folder).parts) or not file.is_file():
            continue
        if excluded is None or excluded not in file.resolve().parents:
            yield file


class ImageFolder:
    """Image files that one camera took: values of 16 bits have the same scale in all of them."""

    def __init__(self, files: Sequence[ImageFile], decoder: PayloadDecoder, name: str = "files") -> None:
        """``name`` tells groups of files apart, whose cameras may differ."""
        self.files = files
        self.camera = Camera("local", name, "cli")
        self._decoder = decoder
        deep = [file for file in files if _is_deep(file)]
        with stderr().status(f"[dim]finding the bits of {plural(len(deep), 'image')} ...[/]"):
            for file in deep:  # all of them first: a dark image must not have a scale of its own
                self._decoder.measure(self._delivery(file, file.path.read_bytes()))

    def __len__(self) -> int:
        return len(self.files)

    @property
    def bits(self) -> int:
        """Bits of the highest value of its PNG with 16 bits; 0 without one."""
        return self._decoder.depths.known(self.camera).seen

    def expect(self, other: ImageFolder) -> None:
        """Values have at least the bits of the other images, if those show that upper bits are unused."""
        if other.bits < DEEP:
            self._decoder.depths.expect(self.camera, other.bits)

    def frame(self, index: int) -> Frame:
        """A file decoded. Raises SightlineError."""
        file = self.files[index]
        try:
            return self._decoder.decode(self._delivery(file, file.path.read_bytes()))
        except FrameError as error:
            raise SightlineError(error.reason) from error
        except OSError as error:
            raise SightlineError(str(error.strerror or error)) from error

    def frames(self) -> Iterator[Frame | Unreadable]:
        """Each file decoded, or why it could not be."""
        for index, file in enumerate(self.files):
            try:
                yield self.frame(index)
            except SightlineError as error:
                yield Unreadable(file, str(error))

    def encoded(self, index: int) -> tuple[bytes, str]:
        """The bytes to keep of a file that could be decoded, and their media type. Raises SightlineError."""
        content = self.files[index].path.read_bytes()
        found = media_type(content)
        if found is None or _is_deep(self.files[index]):
            frame = self.frame(index)
            return frame.encoded, frame.media_type
        return content, found

    def _delivery(self, file: ImageFile, payload: bytes) -> Delivery:
        return Delivery(
            DeliveryKind.FRAME,
            self.camera,
            payload,
            datetime.now(UTC),
            properties={"frame_id": name_from(file.name)},
            content_type=file.media_type,
        )


def _is_deep(file: ImageFile) -> bool:
    """Whether a file is a PNG with 16 bits a channel; an unreadable one is not."""
    try:
        with file.path.open("rb") as opened:
            return read_header(opened.read(64)).depth == DEEP
    except (OSError, HeaderError):
        return False
