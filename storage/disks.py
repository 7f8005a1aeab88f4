"""``LocalDisks``: the file systems of media and database, and a ballast to delete from a full one."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from agent.domain.errors import StorageError
from agent.ports.disk import Space

_log = logging.getLogger(__name__)

_NAME = ".ballast"
_SHARE = 10
"""The ballast is at most the disk's size divided by this."""


class LocalDisks:
    """The disks of this machine that hold media and database.

    On a disk without any room, SQLite cannot even record which images to delete: its log needs space first.
    The ballast is that space, taken beforehand. It lies beside the media and serves a database on the same
    file system. A database on another file system has no images beside it to delete, so it is only watched.

    Args:
        media: the media folder, which exists.
        database: the SQLite file; None for PostgreSQL.
        ballast: bytes; 0: none.
    """

    def __init__(self, media: Path, database: Path | None, ballast: int) -> None:
        self._media = media
        self._database = database
        self._wanted = ballast
        self._file = media / _NAME

    def spaces(self) -> Sequence[Space]:
        found = [_space("media", self._media)]
        if self._database is not None and not _together(self._database.parent, self._media):
            found.append(_space("database", self._database.parent))
        return found

    @property
    def ballast(self) -> int:
        try:
            there = self._file.exists()
        except OSError:
            there = True  # it cannot be read, so it cannot be made
        return 0 if there else self._size()

    def drop_ballast(self) -> bool:
        """Raises StorageError."""
        try:
            self._file.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"the ballast {self._file} cannot be deleted: {error.strerror}") from error
        return True

    def take_ballast(self) -> bool:
        """Never raises."""
        size = self.ballast
        if not size:
            return self._wanted > 0
        try:
            with self._file.open("xb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:  # on other systems a file of zeros may hold no space at all
                    file.write(os.urandom(size))
        except OSError as error:
            _log.info("there is no room for the ballast %s: %s", self._file, error.strerror)
            self._file.unlink(missing_ok=True)
            return False
        return True

    def _size(self) -> int:
        return min(self._wanted, _space("media", self._media).total // _SHARE)


def _space(name: str, folder: Path) -> Space:
    try:
        found = shutil.disk_usage(folder)
    except OSError as error:
        raise StorageError(f"the disk of {folder} cannot be looked at: {error.strerror}") from error
    return Space(name, found.total, found.free)


def _together(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError as error:
        raise StorageError(f"{one} and {other} cannot be looked at: {error.strerror}") from error
