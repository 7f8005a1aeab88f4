"""``parts``: walks the media folder and the rows that name its files side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, select

from agent.domain.errors import StorageError
from storage import schema
from storage.database import Database

INCOMING = ".incoming"
BALLAST = ".ballast"
PATH = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/([0-9a-f]{64})\.[a-z0-9]{1,8}")

_FIRST_LEVEL = tuple(f"{number:02x}" for number in range(256))

MEDIA_COLUMNS = tuple(schema.inspection.c[name] for name in schema.MEDIA)
_NAMING = (*MEDIA_COLUMNS, schema.reference.c.path)


@dataclass(frozen=True, slots=True)
class Seen:
    """One file, as it was when it was read."""

    size: int
    modified: float
    """Seconds of the epoch."""


@dataclass(frozen=True, slots=True)
class Part:
    """All names of one range, in the folder and in the database."""

    files: dict[str, Seen]
    """By path. Files are read before rows, so a file without a row may just be younger than the rows."""
    named: set[str]
    """Paths that inspections or references name."""
    strange: list[str]
    """Files in the folder that Sightline did not put there."""


def parts(root: Path, database: Database) -> Iterator[Part]:
    """256 ranges that hold every file and every path, one in memory at a time.

    Raises StorageError.
    """
    tops = _names(root)
    known = {*_FIRST_LEVEL, INCOMING, BALLAST}
    edges = [*_FIRST_LEVEL, None]
    for number, top in enumerate(_FIRST_LEVEL):
        strange = sorted(tops - known) if number == 0 else []
        files: dict[str, Seen] = {}
        if top in tops:
            for path, seen in _files(root, top):
                if PATH.fullmatch(path) and path[6:10] == path[:2] + path[3:5]:
                    files[path] = seen
                else:
                    strange.append(path)
        # The first range begins before every name, and the last ends after every name.
        yield Part(files, _named(database, "" if number == 0 else top, edges[number + 1]), strange)


def look_at(root: Path, path: str) -> Seen | None:
    """The file under a path of the media folder; None if there is none. Raises StorageError."""
    if PATH.fullmatch(path) is None:
        return None
    try:
        found = (root / path).stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the media file {path} cannot be looked at: {error.strerror}") from error
    return Seen(found.st_size, found.st_mtime)


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder)}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise StorageError(f"the media folder {folder} cannot be read: {error.strerror}") from error


def _files(root: Path, top: str) -> Iterator[tuple[str, Seen]]:
    """Files below one folder of the first level. They may be deleted while they are listed."""
    pending = [top]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(root / folder))
        except (FileNotFoundError, NotADirectoryError):
            entries = []
        except OSError as error:
            raise StorageError(f"the media folder {folder} cannot be read: {error.strerror}") from error
        for entry in entries:
            path = f"{folder}/{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                    continue
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield path, Seen(found.st_size, found.st_mtime)


def _named(database: Database, first: str, end: str | None) -> set[str]:
    with database.read() as connection:
        return {path for column in _NAMING for path in _range(connection, column, first, end)}


def _range(connection: Connection, column: Column[str], first: str, end: str | None) -> Iterator[str]:
    query = select(column).where(column >= first)
    if end is not None:
        query = query.where(column < end)
    yield from connection.execute(query.distinct()).scalars()
