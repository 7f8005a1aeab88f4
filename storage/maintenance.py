"""``sightline db upgrade | check | backup``."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from agent.errors import StorageError
from storage.database import Database
from storage.schema import metadata
from storage.views import VIEWS, create_views, drop_views

_log = logging.getLogger(__name__)

_ADVISORY_LOCK = 0x5169_6874_6C69_6E65
"""The number under which agents on one PostgreSQL agree who migrates."""

_UPGRADE_PATIENCE_S = 600.0


def upgrade(url: str) -> str:
    """Bring the database to the newest schema and return its revision; nothing happens where it is.

    Everything runs in one transaction that begins with a lock: SQLite's write lock, or an advisory
    lock on PostgreSQL. Agents that start together wait for the first and then find nothing to do, and
    an upgrade that fails leaves the database as it was.

    Raises:
        StorageError: the database refused, or was written by a newer Sightline.
    """
    # SQLite cannot rebuild a table that others point to while foreign keys are enforced, and cannot
    # turn that off inside a transaction: off here, checked as a whole before the commit.
    with Database(url, busy_timeout_s=_UPGRADE_PATIENCE_S, foreign_keys=False) as database:
        with as_file(files("storage") / "migrations") as folder, database.write() as connection:
            configuration = _configuration(folder)
            head = _head(configuration)
            if not database.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            current = _revision(connection)
            if current != head:
                _migrate(connection, configuration, database)
                _log.info("database %s upgraded from %s to %s", database, current or "nothing", head)
        return head


def _migrate(connection: Connection, configuration: Config, database: Database) -> None:
    drop_views(connection)
    configuration.attributes["connection"] = connection
    try:
        command.upgrade(configuration, "head")
    except CommandError as error:
        raise StorageError(
            f"the database {database} was written by a newer Sightline ({error}); install that version or"
            " restore a backup"
        ) from error
    create_views(connection)
    if database.is_sqlite and (broken := _broken_references(connection)):
        raise StorageError(f"the upgrade of {database} would leave {broken}; nothing was changed")


def _configuration(folder: Path) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(folder).replace("%", "%%"))
    return configuration


def _head(configuration: Config) -> str:
    head = ScriptDirectory.from_config(configuration).get_current_head()
    if head is None:
        raise StorageError("this installation has lost its migrations; install Sightline again")
    return head


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def check(url: str) -> list[str]:
    """What is wrong with the database, one sentence each; empty where all is well. Raises nothing."""
    try:
        with Database(url) as database:
            if database.path is not None and not database.path.is_file():
                return [f"there is no database at {database.path} yet; run `sightline db upgrade`"]
            with as_file(files("storage") / "migrations") as folder, database.read() as connection:
                head = _head(_configuration(folder))
                problems = _schema_problems(connection, head)
                return problems + (_file_problems(connection) if database.is_sqlite else [])
    except StorageError as error:
        return [str(error)]


def _schema_problems(connection: Connection, head: str) -> list[str]:
    revision = _revision(connection)
    if revision is None:
        return ["the database holds no Sightline schema yet; run `sightline db upgrade`"]
    if revision != head:
        return [f"the schema is at revision {revision}, not {head}; run `sightline db upgrade`"]
    inspector = inspect(connection)
    missing = sorted(
        set(metadata.tables).difference(inspector.get_table_names())
        | set(VIEWS).difference(inspector.get_view_names())
    )
    return [f"the schema lacks {name}; restore a backup" for name in missing]


def _file_problems(connection: Connection) -> list[str]:
    problems = [
        f"the database file is damaged: {row[0]}; restore a backup"
        for row in connection.exec_driver_sql("PRAGMA quick_check(10)")
        if row[0] != "ok"
    ]
    broken = _broken_references(connection)
    return [*problems, f"the database has {broken}; restore a backup"] if broken else problems


def _broken_references(connection: Connection) -> str | None:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return f"{len(rows)} rows of {rows[0][0]} and others that point to nothing" if rows else None


def backup(url: str, target: Path) -> Path:
    """Copy a SQLite history to ``target`` while agents go on writing; the media folder is not in it.

    The copy is one consistent state, made by SQLite's online backup and checked before it gets its name.

    Raises:
        StorageError: PostgreSQL, no database yet, ``target`` exists, or the copy failed.
    """
    with Database(url) as database:
        source = database.path
        if source is None:
            raise StorageError(
                f"{database} is backed up by PostgreSQL's own tool: pg_dump --format=custom --file={target}"
            )
    if not source.is_file():
        raise StorageError(f"there is no database at {source} to back up")
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
        partial.replace(target)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"the backup of {source} to {target} failed: {error}") from error
    finally:
        for leftover in (partial, Path(f"{partial}-wal"), Path(f"{partial}-shm"), Path(f"{partial}-journal")):
            leftover.unlink(missing_ok=True)
    return target
