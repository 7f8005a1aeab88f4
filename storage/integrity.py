"""``verify_file``: refuses a damaged SQLite file before anything is written to it."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from agent.domain.errors import StorageError
from storage.backups import backups_of
from storage.database import lacks_room, parse_url

_log = logging.getLogger(__name__)

START_LIMIT_S = 10.0
"""How long a start may check the file; ``db check`` checks the whole of a larger history."""

_STEPS = 10_000
"""Instructions of SQLite's virtual machine between two looks at the clock."""


def verify_file(url: str, limit_s: float = START_LIMIT_S) -> None:
    """Refuse a damaged SQLite file. Does not check PostgreSQL, or a file that does not exist.

    The file is opened for reading only, so nothing in it changes.

    Raises:
        StorageError: the file is damaged, not a SQLite database, or cannot be read; with the remedy.
    """
    parsed = parse_url(url)
    path = Path(parsed.database or "")
    if parsed.get_backend_name() != "sqlite" or not path.is_file() or path.stat().st_size == 0:
        return
    problems = file_problems(path, full=False, limit_s=limit_s)
    if problems:
        raise StorageError(problems[0])


def file_problems(path: Path, *, full: bool, limit_s: float | None = None) -> list[str]:
    """The faults of a file, one sentence each.

    Args:
        path: an existing SQLite file.
        full: also compare the indexes with their tables, which takes longer.
        limit_s: stop after this time; what is not checked by then counts as sound. None: check all.
    """
    look = "integrity_check" if full else "quick_check"
    deadline = None if limit_s is None else time.monotonic() + limit_s
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            if deadline is not None:
                connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            found = [row[0] for row in connection.execute(f"PRAGMA {look}(5)")]
    except sqlite3.OperationalError as error:
        if str(error) == "interrupted":
            _log.info("%s is large; `sightline db check` looks at the whole of it", path)
            return []
        if "locked" in str(error) or ("disk I/O" in str(error) and lacks_room(path)):
            return []  # it cannot be checked now; the next one to open it gets the reason
        return [_cannot(path, str(error))]
    except sqlite3.DatabaseError as error:
        return [_damaged(path, str(error))]
    return [_damaged(path, " ".join(one.split())) for one in found if one != "ok"]


def _damaged(path: Path, reason: str) -> str:
    copies = backups_of(path)
    newest = f" (the newest that an upgrade made is {copies[0]})" if copies else ""
    return (
        f"the database file {path} is damaged: {reason}; nothing was changed. Move it and its -wal file"
        f" away, then put a backup in its place{newest} or save what can be read:"
        f" `sqlite3 {path} .recover | sqlite3 NEW`"
    )


def _cannot(path: Path, reason: str) -> str:
    if "malformed" in reason or "disk I/O" in reason:
        return _damaged(path, reason)
    return f"the database file {path} cannot be read: {reason}; check who owns it and its folder"
