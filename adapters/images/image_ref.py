"""``ReferenceReader``: images that a message names, as files in allowed folders or URLs of allowed hosts."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from adapters.http.hosts import AllowedHosts
from adapters.images.fetching import Fetcher, FetchError
from agent.domain.names import acts

_MISSING = "the file of image_ref does not exist or is not a regular file"
_OUTSIDE = "the file of image_ref lies outside frames.allowed_roots"


class ImageReferenceError(ValueError):
    """The reference is not allowed, or nothing is there."""


class ReferenceReader:
    """Reads references within allowed roots and hosts, up to ``max_bytes``; nothing is allowed by default.

    A path is taken literally: nothing in it is decoded or expanded. It is opened part by part, so that a
    link that appears after the check cannot lead elsewhere. Only a regular file is opened.
    """

    def __init__(
        self,
        max_bytes: int,
        allowed_roots: Iterable[Path] = (),
        allowed_hosts: Iterable[str] = (),
        timeout_s: float = 5.0,
    ) -> None:
        self._max_bytes = max_bytes
        self._roots = tuple(Path(root).resolve() for root in allowed_roots)
        self._fetcher = Fetcher(AllowedHosts(allowed_hosts), max_bytes, timeout_s)

    def read(self, reference: str) -> bytes:
        """The bytes behind a path or URL. Raises ImageReferenceError in one sentence."""
        # A path may hold any character that a file name holds, a narrow space or a raw byte among them.
        remote = "://" in reference
        bad = not reference.isprintable() if remote else any(map(_is_refused, reference))
        if not reference or len(reference) > 4_096 or bad:
            raise ImageReferenceError("the image_ref is empty, too long or has unprintable characters")
        if remote:
            try:
                return self._fetcher.fetch(reference)
            except FetchError as error:
                raise ImageReferenceError(str(error)) from None
        try:
            return self._open(reference)
        except OSError as error:
            raise ImageReferenceError(f"the file of image_ref cannot be read: {error.strerror}") from None

    def _open(self, reference: str) -> bytes:
        root, path = self._allowed_path(reference)
        descriptor = _open_inside(root, path)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageReferenceError(_MISSING)
            content = b"" if status.st_size > self._max_bytes else file.read(self._max_bytes + 1)
        if status.st_size > self._max_bytes or len(content) > self._max_bytes:
            raise ImageReferenceError(f"the image of image_ref has more than {self._max_bytes:,} bytes")
        return content

    def _allowed_path(self, reference: str) -> tuple[Path, Path]:
        """An allowed root and the file inside it, all symbolic links resolved."""
        if not self._roots:
            raise ImageReferenceError("files are not allowed; name their folder in frames.allowed_roots")
        if reference.startswith(("//", "\\\\")):  # on Windows, resolving these would call another machine
            raise ImageReferenceError(_OUTSIDE)
        inside = False
        for root in self._roots:
            try:
                path = (root / reference).resolve()
                if not path.is_relative_to(root):
                    continue
                inside = True
                if path.is_file():
                    return root, path
            except (OSError, ValueError, RuntimeError):  # names too long, loops of links
                continue
        raise ImageReferenceError(_MISSING if inside else _OUTSIDE)


def _is_refused(character: str) -> bool:
    return acts(character) and not "\udc80" <= character <= "\udcff"  # a byte that is not UTF-8 (PEP 383)


def _open_inside(root: Path, path: Path) -> int:
    """A descriptor for reading ``path``, following no link below ``root``; never waits for a pipe's writer.

    Raises OSError, ImageReferenceError.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    if os.open not in os.supports_dir_fd:
        return os.open(path, flags | getattr(os, "O_BINARY", 0))
    *folders, name = path.relative_to(root).parts
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        # Checked before it is opened: opening a device may already have an effect.
        if not stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            raise ImageReferenceError(_MISSING)
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)
