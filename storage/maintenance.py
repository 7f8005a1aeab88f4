"""``prepare``, ``upgrade`` and ``check``: the schema, before an agent starts and by ``sightline db``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect

from agent.domain.errors import StorageError
from storage.backups import backup_before, dump_command
from storage.database import Database
from storage.integrity import START_LIMIT_S, file_problems, verify_file
from storage.schema import metadata
from storage.triggers import create_triggers, drop_triggers, missing_triggers
from storage.views import VIEWS, create_views, drop_views, readers_of_views

if TYPE_CHECKING:
    from alembic.config import Config  # imported where it is used: most commands upgrade nothing

_log = logging.getLogger(__name__)

_ADVISORY_LOCK = 0x5169_6874_6C69_6E65
"""The advisory lock by which agents on one PostgreSQL agree which of them migrates."""

_UPGRADE_PATIENCE_S = 600.0


def prepare(url: str, *, backup_first: bool = True) -> str:
    """Check the file, upgrade, and check the schema, before an agent starts.

    Returns the revision in force. Raises StorageError if the file is damaged, the upgrade was refused (see
    :func:`upgrade`), or a table or view is missing. Nothing is overwritten then.
    """
    verify_file(url)
    revision = upgrade(url, backup_first=backup_first)
    with Database(url) as database, database.read() as connection:
        problems = _schema_problems(connection, revision)
        if problems:
            raise StorageError(f"{database}: {'; '.join(problems)}")
    return revision


def upgrade(url: str, *, backup_first: bool = True, report: Callable[[str], None] = _log.info) -> str:
    """Bring the database to the newest schema, if it is older, and return its revision.

    Everything runs in one transaction that begins with a lock: SQLite's write lock, or an advisory
    lock on PostgreSQL. Agents that start together wait for the first and then find nothing to do, and
    an upgrade that fails leaves the database as it was.

    Args:
        url: which database; see :func:`storage.database.parse_url`.
        backup_first: copy a SQLite history beside itself before its schema changes. For PostgreSQL, its
            own tool is only named.
        report: takes sentences about the upgrade.

    Raises:
        StorageError: the database refused, was written by a newer Sightline, or could not be backed up.
    """
    # SQLite cannot rebuild a table that others point to while foreign keys are enforced, and cannot
    # switch that off inside a transaction. So it is off here, and checked as a whole before the commit.
    with Database(url, busy_timeout_s=_UPGRADE_PATIENCE_S, foreign_keys=False) as database:
        with as_file(files("storage") / "migrations") as folder, database.write() as connection:
            configuration = _configuration(folder)
            head = _head(configuration)
            if not database.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            current = _revision(connection)
            if current != head:
                if current is not None and _is_older(configuration, current):
                    _keep_a_copy(database, url, current, backup_first, report)
                _migrate(connection, configuration, database)
                report(f"database {database} upgraded from {current or 'nothing'} to {head}")
        return head


def _keep_a_copy(
    database: Database, url: str, current: str, wanted: bool, report: Callable[[str], None]
) -> None:
    """Copy the history inside the upgrade's lock, so that no other process changes it or upgrades too."""
    if database.path is None:
        target = Path(f"sightline-r{current}.dump")
        command = dump_command(url, target)
        report(f"no backup of {database} is made here; PostgreSQL's own tool makes one: {command}")
        return
    if not wanted:
        report(f"{database} is upgraded without a backup: database.backup_before_upgrade is false")
        return
    try:
        copy = backup_before(database.path, current)
    except StorageError as error:
        raise StorageError(
            f"the upgrade of {database} waits for a backup: {error}. Nothing was changed; make room, or go on"
            " without one with --set database.backup_before_upgrade=false"
        ) from error
    report(f"{copy} holds the history as it was at revision {current}")


def _migrate(connection: Connection, configuration: Config, database: Database) -> None:
    from alembic import command
    from alembic.util import CommandError

    readers = readers_of_views(connection)
    drop_views(connection)
    drop_triggers(connection)
    configuration.attributes["connection"] = connection
    try:
        command.upgrade(configuration, "head")
    except CommandError as error:
        raise StorageError(
            f"the database {database} was written by a newer Sightline ({error}); install that version or"
            " restore a backup"
        ) from error
    create_triggers(connection)
    create_views(connection, readers)
    if database.is_sqlite and (broken := _broken_references(connection)):
        raise StorageError(f"the upgrade of {database} would leave {broken}; nothing was changed")


def _configuration(folder: Path) -> Config:
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(folder).replace("%", "%%"))
    return configuration


def _head(configuration: Config) -> str:
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(configuration).get_current_head()
    if head is None:
        raise StorageError("this installation has lost its migrations; install Sightline again")
    return head


def _is_older(configuration: Config, revision: str) -> bool:
    """Whether this Sightline knows the revision. A newer one's is refused without a copy."""
    from alembic.script import ScriptDirectory

    known = ScriptDirectory.from_config(configuration).walk_revisions()
    return revision in {script.revision for script in known}


def _revision(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def check(url: str, *, full: bool = False) -> list[str]:
    """The faults of the database, one sentence each; empty if there are none. Never raises.

    ``full``: check every page and index of a SQLite file, however long that takes. Otherwise the check
    ends after :data:`storage.integrity.START_LIMIT_S`.
    """
    try:
        with Database(url) as database:
            if database.path is not None and not database.path.is_file():
                return [f"there is no database at {database.path} yet; run `sightline db upgrade`"]
            if database.path is not None and database.path.stat().st_size:
                damage = file_problems(database.path, full=full, limit_s=None if full else START_LIMIT_S)
                if damage:
                    return damage
            with as_file(files("storage") / "migrations") as folder, database.read() as connection:
                head = _head(_configuration(folder))
                problems = _schema_problems(connection, head)
                broken = _broken_references(connection) if database.is_sqlite and full else None
                return [*problems, f"the database has {broken}; restore a backup"] if broken else problems
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
    if not missing:
        missing = [f"the trigger {name}" for name in missing_triggers(connection)]
    return [f"the schema lacks {name}; restore a backup" for name in missing]


def _broken_references(connection: Connection) -> str | None:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return f"{len(rows)} rows of {rows[0][0]} and others that point to nothing" if rows else None
