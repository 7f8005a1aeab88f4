"""A database that refuses for a while: the sentence says why, and the writer goes on afterwards."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from agent.domain.errors import DiskFullError, StorageError
from storage import Database, MediaFolder, SqlHistory, upgrade
from tests.fixtures.small_disk import remount, small_disk
from tests.storage.examples import entry
from tests.support.factory import fill_disk

__all__ = ["small_disk"]


def history_at(path: Path, patience_s: float = 0.05) -> tuple[Database, SqlHistory]:
    upgrade(f"sqlite:///{path}")
    database = Database(f"sqlite:///{path}", busy_timeout_s=patience_s)
    return database, SqlHistory(database, agent_id="a", agent_version="1")


def test_a_locked_database_is_named_as_such_and_written_to_later(tmp_path: Path) -> None:
    database, history = history_at(tmp_path / "history.db")
    with database, closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another process keeps it locked"):
            history.record([entry("f-1")])
        other.execute("ROLLBACK")
        assert history.record([entry("f-1")]) == [True]


def test_a_lock_that_is_let_go_in_time_is_only_waited_for(tmp_path: Path) -> None:
    database, history = history_at(tmp_path / "history.db", patience_s=30.0)
    with (
        database,
        closing(
            sqlite3.connect(tmp_path / "history.db", isolation_level=None, check_same_thread=False)
        ) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        release.start()
        assert history.record([entry("f-1")]) == [True]
        release.join()


def test_a_disk_that_became_read_only_is_named_as_such_and_written_to_later(small_disk: Path) -> None:
    database, history = history_at(small_disk / "history.db")
    media = MediaFolder(small_disk / "media")
    with database:
        history.record([entry("f-1")])
        database.close()  # with its log open for writing the disk would not become read-only
        remount(small_disk, read_only=True)
        try:
            for _ in range(2):
                with pytest.raises(StorageError, match=r"check that|check who") as caught:
                    history.record([entry("f-2")])
                assert not isinstance(caught.value, DiskFullError)
                with pytest.raises(StorageError, match="Read-only file system"):
                    media.put(b"image", "jpg")
        finally:
            remount(small_disk, read_only=False)
        assert history.record([entry("f-2")]) == [True]
        assert media.get(media.put(b"image", "jpg")) == b"image"


@pytest.mark.slow
def test_a_full_disk_is_reported_to_whoever_asked(small_disk: Path) -> None:
    database, history = history_at(small_disk / "history.db")
    media = MediaFolder(small_disk / "media")
    reported: list[str] = []
    database.on_full = lambda: reported.append("database")
    media.on_full = lambda: reported.append("media")
    with database:
        history.record([entry("f-0")])
        with pytest.raises(DiskFullError, match="No space left on device"):
            media.put(os.urandom(40_000_000), "jpg")
        assert reported == ["media"]
        fill_disk(small_disk / "of others")
        frames = [entry(f"f-{number}") for number in range(1, 5_000)]
        with pytest.raises(DiskFullError, match="free space on the disk"):
            history.record(frames)
        assert reported == ["media", "database"]
        (small_disk / "of others").unlink()
        assert history.record([entry("f-after")]) == [True]
    assert list((small_disk / "media" / ".incoming").iterdir()) == [], "half an image is not left there"


def test_a_server_that_only_reads_is_named_as_such(postgresql_url: str) -> None:
    upgrade(postgresql_url)
    with Database(postgresql_url) as database:
        history = SqlHistory(database, agent_id="a", agent_version="1")
        name = postgresql_url.rsplit("/", 1)[1]
        with psycopg.connect(postgresql_url, autocommit=True) as administrator:
            administrator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
            database.close()
            with pytest.raises(StorageError, match="use the primary"):
                history.record([entry("f-1")])
            administrator.execute("SET default_transaction_read_only = off")
            administrator.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        database.close()
        assert history.record([entry("f-1")]) == [True]


def test_a_server_that_ends_connections_is_named_as_such_and_written_to_again(postgresql_url: str) -> None:
    """As its restart does, between two transactions and within one."""
    upgrade(postgresql_url)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with (
        Database(postgresql_url) as database,
        psycopg.connect(postgresql_url, autocommit=True) as administrator,
    ):
        history = SqlHistory(database, agent_id="a", agent_version="1")
        assert history.record([entry("f-1")]) == [True]
        administrator.execute(f"{others} AND pid <> pg_backend_pid()")
        assert history.record([entry("f-2")]) == [True], "between two transactions it costs nothing"
        with pytest.raises(StorageError, match="the server went away"):
            _end_within(database, administrator, others)
        assert history.record([entry("f-3"), entry("f-2")]) == [True, False]


def _end_within(database: Database, administrator: psycopg.Connection, others: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("SELECT 1")
        administrator.execute(f"{others} AND pid <> pg_backend_pid()")
        connection.exec_driver_sql("SELECT 1")
