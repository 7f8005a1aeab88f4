"""``Database``: connections and transactions on SQLite or PostgreSQL, with errors as clear sentences."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.schema import Table

from agent.domain.errors import DiskFullError, StorageError

_log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 15.0
"""How long a writer waits for another process's transaction on the same SQLite file."""

_AWAY = "the server went away or is not ready yet; it is asked again"

_HINTS = (  # the first that fits
    (("password authentication failed", "no password supplied"), "check the user and the password"),
    (("no such table", "no such column", "does not exist"), "run `sightline db upgrade` first"),
    (("database is locked",), "another process keeps it locked; stop that process, or use PostgreSQL"),
    (("unable to open database file",), "check that the folder exists and may be written"),
    (("readonly database", "permission denied"), "check who owns the file and who may write"),
    (("disk is full", "no space left"), "free space on the disk"),
    (("not a database", "malformed"), "the file is damaged or not SQLite; see `sightline db check`"),
    (("disk i/o error",), "look at the disk and its free space, then run `sightline db check`"),
    (("read-only transaction",), "the server is a standby or the role may only read; use the primary"),
    (("connection refused", "could not connect", "connection failed"), "check host, port and that it runs"),
    (("terminating connection", "server closed the connection", "shutting down", "starting up"), _AWAY),
)


_FULL = ("disk is full", "no space left")

_LOG_PAGES = 1000
"""Pages after which SQLite copies its write-ahead log into the database and restarts it; its default."""

_LOG_SHARE = 20
"""The log is at most about the disk's size divided by this: otherwise it could fill a small disk."""

_PAGE = 4096

_SAMPLED = 1000
"""Entries of an index that are read for its statistics, about."""

_SHARED_MEMORY = 32_768
"""Bytes by which SQLite's index of the write-ahead log grows."""


def lacks_room(path: Path) -> bool:
    """Whether SQLite cannot open a file for lack of space: its own error is only `disk I/O error`."""
    try:
        return shutil.disk_usage(path.parent).free < _SHARED_MEMORY
    except OSError:
        return False  # the disk has a fault, but is not known to be full


def do_nothing() -> None:
    """The default for ``on_full``."""


def parse_url(url: str) -> URL:
    """``sqlite:///path`` or ``postgresql://user:password@host:port/name``, made ready for SQLAlchemy.

    Raises:
        StorageError: another kind of database, SQLite without a file, or not a URL. The text never
            repeats the URL, since that may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StorageError(
            "the database URL cannot be read; write sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
            " with special characters in the password as %XX"
        ) from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StorageError(
                "a history in memory is lost at the end; name a file: sqlite:///var/history.db"
            )
        return parsed.set(drivername="sqlite")
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise StorageError(f"the database is sqlite:// or postgresql://, not {kind}://")


class Database:
    """An engine with its write lock.

    SQLite has one writer: threads of this process queue at a lock, and processes wait for each other
    up to ``busy_timeout_s`` (``BEGIN IMMEDIATE`` takes the write lock at the start, so a transaction
    that has begun to read never fails when it comes to write).

    Args:
        url: see :func:`parse_url`. The parent folder of a SQLite file is created.

    Attributes:
        on_full: called, in any thread, when a statement was refused for lack of space.

    Raises:
        StorageError: the URL is unusable or the folder cannot be made. Nothing is connected yet.
    """

    def __init__(
        self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S, foreign_keys: bool = True
    ) -> None:
        self._url = parse_url(url)
        self.busy_timeout_s = busy_timeout_s
        self.on_full: Callable[[], None] = do_nothing
        self._commits = 0
        self._counting = threading.Lock()
        self._writer: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()
        if self.path is not None:
            _make_folder(self.path.parent)
            self.engine = _sqlite_engine(self._url, busy_timeout_s, foreign_keys)
        else:
            self.engine = _postgresql_engine(self._url)

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for PostgreSQL."""
        return Path(self._url.database or "") if self.is_sqlite else None

    @property
    def server(self) -> str:
        """SQLite or PostgreSQL with its version. Raises StorageError."""
        with self.read() as connection:
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
        return f"{'SQLite' if self.is_sqlite else 'PostgreSQL'} {version}"

    def __str__(self) -> str:
        """The URL with its password masked, without the parameters, which may hold secrets too."""
        return self._url.set(query={}).render_as_string(hide_password=True).replace("+psycopg", "", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: one snapshot on SQLite. Raises StorageError."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end and rolled back on any exception.

        Raises StorageError; then nothing was written.
        """
        with (
            self._writer,
            self._translated(),
            self.engine.connect() as connection,
            connection.execution_options(sqlite_begin="IMMEDIATE").begin(),
        ):
            yield connection
        with self._counting:
            self._commits += 1

    @property
    def commits(self) -> int:
        """How many writing transactions were committed: each waits for the disk once."""
        return self._commits

    def refresh_statistics(self) -> None:
        """Count again what SQLite chooses an index by: how many rows share a value. Raises StorageError.

        Each index is only sampled, which takes milliseconds. PostgreSQL does this by itself.
        """
        if self.is_sqlite:
            with self.write() as connection:
                connection.exec_driver_sql(f"PRAGMA analysis_limit = {_SAMPLED}")
                connection.exec_driver_sql("ANALYZE")
                # A sample takes a verdict to be as rare as it is long, but nearly all rows have the same one.
                connection.exec_driver_sql(
                    "UPDATE sqlite_stat1 SET"
                    " stat = CAST(stat AS INTEGER) || ' ' || (CAST(stat AS INTEGER) / 5 + 1) || ' 1'"
                    " WHERE idx = 'ix_inspection_verdict_received_at'"
                )
                connection.exec_driver_sql("ANALYZE sqlite_schema")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            refusal = self._refusal(error)
            if isinstance(refusal, DiskFullError):
                self.on_full()
            raise refusal from error

    def _refusal(self, error: SQLAlchemyError | sqlite3.Error) -> StorageError:
        """The error as a sentence, without statement, parameters or password."""
        cause: BaseException = error
        if isinstance(error, StatementError) and error.orig is not None:
            cause = error.orig
        plain = isinstance(cause, DBAPIError | sqlite3.Error) or cause is not error
        lines = str(cause).strip().splitlines() if plain else []
        reason = self.redact(lines[0] if lines else type(error).__name__)
        lowered = self.redact(str(cause)).lower()
        hint = next((hint for marks, hint in _HINTS if any(mark in lowered for mark in marks)), None)
        sentence = f"the database {self} refused: {reason}" + (f"; {hint}" if hint else "")
        full = any(mark in lowered for mark in _FULL)
        if self.path is not None and "disk i/o error" in lowered:
            full = lacks_room(self.path)
        return DiskFullError(sentence) if full else StorageError(sentence)

    def redact(self, text: str) -> str:
        """``text`` without the secrets of the URL in any spelling."""
        secrets = [self._url.password, self._url.query.get("password"), self._url.query.get("options")]
        for secret in (str(secret) for secret in secrets if secret):
            for spelling in {secret, quote(secret, safe=""), quote_plus(secret)}:
                text = text.replace(spelling, "***")
        return text


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} for the history cannot be made: {error.strerror}") from error


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that supports ON CONFLICT, which both dialects write alike."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _postgresql_engine(url: URL) -> Engine:
    arguments: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
    # pre_ping: after a restart of the server, one query fails here instead of a batch.
    return create_engine(url, pool_pre_ping=True, connect_args=arguments)


def _sqlite_engine(url: URL, busy_timeout_s: float, foreign_keys: bool) -> Engine:
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout_s * 1000)}")
        _use_wal(connection, busy_timeout_s)
        # In WAL mode NORMAL already survives kill -9: the operating system holds the commit. A power cut
        # could still undo the last commits. Their frames were acknowledged, so the broker would not send
        # them again. FULL waits for the disk, once for each batch.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        pages = _log_pages(Path(url.database or ""))
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        # A long reader lets the log grow; without a limit, its file would keep that size.
        connection.execute(f"PRAGMA journal_size_limit = {2 * pages * _PAGE}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        # By the driver itself: SQLAlchemy takes longer for its part than SQLite for a small transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute(f"BEGIN {kind}")

    return engine


def _log_pages(path: Path) -> int:
    try:
        share = shutil.disk_usage(path.parent).total // _LOG_SHARE
    except OSError:
        return _LOG_PAGES  # the next writer gets the reason
    return max(1, min(_LOG_PAGES, share // _PAGE))


def _use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switch to WAL mode, in which readers and the writer do not wait for each other. The file keeps it.

    The switch needs exclusive access and ignores the busy timeout, so two agents that start together on a
    new file try again.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
