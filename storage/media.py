"""``MediaFolder``: images and masks as files beside the database."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from agent.domain.errors import DiskFullError, StorageError
from agent.ports import MediaFile
from storage.database import do_nothing
from storage.disk_sync import DiskSync
from storage.pending_media import PendingMedia

_SUFFIX = re.compile(r"\.?([a-z0-9]{1,8})")
_PATH = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/([0-9a-f]{64})\.[a-z0-9]{1,8}")
_STALE_S = 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)

_SKEW_S = 3600.0
"""How far ahead the clock of another machine on the same folder may be."""


class MediaFolder:
    """Files ``ab/cd/<sha256>.<suffix>`` under one folder.

    The name is the content's own digest, so no text of a message becomes a path, and equal bytes are
    stored once. A file is written under another name, synced to the disk and renamed. So a file with its
    name is whole, and a row never points to a file that a power cut undid.

    Attributes:
        on_full: called, in any thread, when a file was refused for lack of space.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.on_full: Callable[[], None] = do_nothing
        self._incoming = root / ".incoming"
        self._settled = PendingMedia()
        self._sync = DiskSync()
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._clear_leftovers()
        except OSError as error:
            raise StorageError(f"the media folder {root} cannot be used: {error.strerror}") from error

    def put(self, content: bytes, suffix: str) -> str:
        """Store one file, as :meth:`put_all`, and return its path. Raises StorageError."""
        return self.put_all([MediaFile(content, suffix)])[0]

    def put_all(self, files: Sequence[MediaFile]) -> list[str]:
        """Store and return the relative paths. Bytes that are already there are not written again.

        All files are written, then synced together: that takes little longer than to sync one. A file that is
        there gets the present time. So the retention, which may be about to delete it for an older row,
        leaves it.

        Raises StorageError: the disk refused, or a suffix is not 1 to 8 of a-z and 0-9. Some files may have
        been stored all the same.
        """
        paths = [_path_of(file) for file in files]
        contents = {path: file.content for path, file in zip(paths, files, strict=True)}
        try:
            absent: dict[str, bytes] = {}
            for path, content in contents.items():
                target = self._root / path
                self._settled.begin(path, _stored_lately(target))
                if (modified := _renewed(target, len(content))) is None:
                    absent[path] = content
                else:
                    self._settled.stored(path, modified)
            for path, modified in self._write(absent).items():
                self._settled.stored(path, modified)
        except OSError as error:
            named = paths[0] if len(contents) == 1 else f"one of {len(contents)} files"
            sentence = f"{named} cannot be written to {self._root}: {error.strerror}"
            if error.errno in _FULL:
                self.on_full()
                raise DiskFullError(sentence) from error
            raise StorageError(sentence) from error
        return paths

    def renew(self, path: str) -> bool:
        """Give a file the present time, as :meth:`put` does. Returns whether it exists.

        Call this before a row of the database names the file: the retention, which may be about to delete
        it for another row, then leaves it.

        Raises StorageError: the folder refused.
        """
        if _PATH.fullmatch(path) is None:
            return False
        target = self._root / path
        try:
            self._settled.begin(path, _stored_lately(target))
            os.utime(target)
            return target.is_file()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"the media file {path} cannot be renewed: {error.strerror}") from error

    def get(self, path: str) -> bytes:
        """The bytes under a path that :meth:`put` returned.

        Raises StorageError: not a path of this folder, or the file is missing or was changed.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise StorageError(f"{path!r} is not a path of the media folder")
        try:
            content = (self._root / path).read_bytes()
        except OSError as error:
            raise StorageError(f"the media file {path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != match[1]:
            raise StorageError(f"the media file {path} was changed since it was stored; restore a backup")
        return content

    def settle(self, paths: Iterable[str]) -> None:
        """Report that the rows are written for which the calling thread stored these files."""
        self._settled.settle(paths)

    def mark(self, path: str) -> int | None:
        """A number for :meth:`remove`; None unless all rows for which the file was stored are written.

        Raises StorageError: the folder refused.
        """
        found = self._stat(path)
        return None if found is None else self._settled.mark(path, found.st_mtime_ns)

    def modified(self, path: str) -> float | None:
        """When the file was last stored, in seconds of the epoch; None if it does not exist.

        Raises StorageError: the folder refused.
        """
        found = self._stat(path)
        return None if found is None else found.st_mtime

    def _stat(self, path: str) -> os.stat_result | None:
        if _PATH.fullmatch(path) is None:
            return None
        try:
            return (self._root / path).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"the media file {path} cannot be looked at: {error.strerror}") from error

    def remove(self, path: str, before: float, mark: int | None = None) -> int | None:
        """Delete a file that was last stored before a time, in seconds of the epoch. Returns its bytes.

        With the :meth:`mark` that it had before the rows were read, this also deletes a younger file that was
        not stored again since.

        None, and nothing is deleted, if it is missing or was stored again since. If a :meth:`put` runs at the
        same time, in any process, either this call sees the new time, or the put sees that the file is gone
        and writes it. So the file is renamed first and checked under that name.

        Raises StorageError: the folder refused.
        """
        if _PATH.fullmatch(path) is None:
            return None
        target = self._root / path
        aside = self._incoming / f"{target.name}.{os.getpid()}.{threading.get_ident()}.leaving"
        try:
            target.replace(aside)
            found = aside.stat()
            stored_again = mark is None or mark != self._settled.mark(path, found.st_mtime_ns)
            if is_fresh(found.st_mtime, before) and stored_again:
                aside.replace(target)
                return None
            aside.unlink()
            return found.st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"the media file {path} cannot be deleted: {error.strerror}") from error

    def _write(self, contents: Mapping[str, bytes]) -> Mapping[str, int]:
        """Write files by path. Returns their times, in nanoseconds of the epoch."""
        mark = f"{os.getpid()}.{threading.get_ident()}"
        asides = {path: self._incoming / f"{Path(path).name}.{mark}" for path in contents}
        targets = {path: self._root / path for path in contents}
        # Folders first: on a journaling file system the files' own fsyncs then sync them too, and the last
        # fsyncs only have the renames left to sync.
        for target in targets.values():
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with ExitStack() as opened:
                numbers = {}
                for path, content in contents.items():
                    file = opened.enter_context(asides[path].open("wb"))
                    file.write(content)
                    file.flush()
                    numbers[path] = file.fileno()
                self._sync.all(list(numbers.values()))
                modified = {path: os.fstat(number).st_mtime_ns for path, number in numbers.items()}
            for path, target in targets.items():
                asides[path].replace(target)
        finally:
            for aside in asides.values():
                aside.unlink(missing_ok=True)
        self._sync.folders({target.parent for target in targets.values()})
        return modified

    @property
    def syncs(self) -> int:
        """How many files and folders were synced to the disk."""
        return self._sync.count

    def _clear_leftovers(self) -> None:
        """Delete half-written files of killed agents, but not fresh ones: another agent may write them."""
        for leftover in self._incoming.iterdir():
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                leftover.unlink(missing_ok=True)


def is_fresh(modified: float, before: float) -> bool:
    """Whether a file of that time was stored since ``before``, both in seconds of the epoch.

    A time far ahead of the clock was given before the clock was set back, so it does not count as fresh.
    """
    return before <= modified <= time.time() + _SKEW_S


def _stored_lately(target: Path) -> int | None:
    """The time, in nanoseconds, of a file that may be stored and not named by its row yet."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns if is_fresh(found.st_mtime, time.time() - _STALE_S) else None


def _renewed(target: Path, size: int) -> int | None:
    """Give a file the present time and return it in nanoseconds; None if it is missing or not whole."""
    try:
        os.utime(target)  # first, so that a process that removes the file afterwards sees the new time
        found = target.stat()
    except (FileNotFoundError, PermissionError):  # another user's file is replaced by one of this user
        return None
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) and found.st_size == size else None


def _path_of(file: MediaFile) -> str:
    """The path of a file by its content. Raises StorageError."""
    match = _SUFFIX.fullmatch(file.suffix)
    if match is None:
        raise StorageError(f"{file.suffix!r} is not a file suffix; use 1 to 8 lower-case letters or digits")
    digest = hashlib.sha256(file.content).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest}.{match[1]}"
