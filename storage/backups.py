"""``backup`` and ``backup_before``: copies of a SQLite history, by command or before an upgrade."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL

from agent.domain.errors import StorageError
from storage.database import Database, parse_url

KEPT = 3
"""How many copies made by upgrades are kept. Older ones are deleted once a new one exists."""

_SPARE = 1.2
"""How many times the size of the history must be free: the copy, and what the upgrade itself writes."""

_STAMP = "%Y%m%dT%H%M%S"


def backup(url: str, target: Path) -> Path:
    """Copy a SQLite history to ``target`` while agents go on writing. The media folder is not included.

    The copy is one consistent state, made by SQLite's online backup and checked before it gets its name.

    Raises:
        StorageError: PostgreSQL, no database yet, ``target`` exists, or the copy failed.
    """
    with Database(url) as database:
        source = database.path
        if source is None:
            raise StorageError(
                f"{database} is backed up by PostgreSQL's own tool: {dump_command(url, target)}; "
                "deploy/README.md has the commands that restore it"
            )
    if not source.is_file():
        raise StorageError(f"there is no database at {source} to back up")
    copy_history(source, target)
    return target


def dump_command(url: str, target: Path) -> str:
    """The command that backs up a PostgreSQL history. It holds no secret: pg_dump asks for the password."""
    parts = parse_url(url)
    kept = {name: value for name, value in parts.query.items() if "password" not in name}
    place = URL.create("postgresql", parts.username, None, parts.host, parts.port, parts.database, kept)
    return shlex.join(["pg_dump", "--format=custom", f"--file={target}", f"--dbname={place}"])


def backup_before(source: Path, revision: str) -> Path:
    """Copy a history beside itself before an upgrade takes it from ``revision`` to the next.

    The copy is named ``NAME.rREVISION-TIME.db``; the newest :data:`KEPT` of such copies are kept.

    Raises:
        StorageError: there is too little space, or the copy failed or is damaged; nothing has changed then.
    """
    _check_space(source)
    stamp = datetime.now(UTC).strftime(_STAMP)
    target = source.with_name(f"{source.stem}.r{revision}-{stamp}{source.suffix}")
    copy_history(source, target)
    for old in backups_of(source)[KEPT:]:
        old.unlink(missing_ok=True)
    return target


def backups_of(source: Path) -> list[Path]:
    """The copies that upgrades made of ``source``, the newest first."""
    name = re.compile(rf"{re.escape(source.stem)}\.r[0-9A-Za-z]+-(\d{{8}}T\d{{6}}){re.escape(source.suffix)}")
    found = [(match[1], path) for path in source.parent.iterdir() if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def copy_history(source: Path, target: Path) -> None:
    """Make a consistent, checked copy, which is on the disk when this returns.

    Raises StorageError: ``target`` exists, or the copy failed; nothing is left of it then.
    """
    if target.exists():
        raise StorageError(f"{target} exists already; name another file for the backup")
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(partial)) as copy:
            original.backup(copy)
            verdict = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StorageError(f"the backup of {source} is damaged: {verdict}; check the disk")
        _sync(partial)
        partial.replace(target)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"the backup of {source} to {target} failed: {error}") from error
    finally:
        for leftover in (partial, Path(f"{partial}-wal"), Path(f"{partial}-shm"), Path(f"{partial}-journal")):
            leftover.unlink(missing_ok=True)


def _check_space(source: Path) -> None:
    files = (source, Path(f"{source}-wal"))
    try:
        needed = int(_SPARE * sum(file.stat().st_size for file in files if file.exists()))
        free = shutil.disk_usage(source.parent).free
    except OSError as error:
        raise StorageError(f"{source} cannot be looked at: {error.strerror}") from error
    if free < needed:
        raise StorageError(
            f"a backup of {source} needs {needed:,} bytes and {free:,} are free in {source.parent}"
        )


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
