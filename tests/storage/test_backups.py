"""upgrade: it copies the history first, or does not happen."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.errors import StorageError
from storage import Database, backups, check, upgrade
from storage.database import parse_url
from tests.fixtures.small_disk import small_disk
from tests.storage.examples import REVISION

__all__ = ["small_disk"]

OLD = Path(__file__).parent / "old" / "r0002.db"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A history of an older version."""
    return Path(shutil.copy(OLD, tmp_path / "history.db"))


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        found: str = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        return found


def test_the_history_is_copied_as_it_was(history: Path) -> None:
    reported: list[str] = []
    assert upgrade(url(history), report=reported.append) == REVISION
    (copy,) = backups.backups_of(history)
    assert copy.name.startswith("history.r0002-")
    assert revision(copy) == "0002"
    assert str(copy) in reported[0]
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT COUNT(*) FROM inspection").fetchone() == (3,)
        assert kept.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert "is at revision 0002" in check(url(copy))[0], "it is a history like any other"
    upgrade(url(history))
    assert backups.backups_of(history) == [copy], "where nothing changes nothing is copied"


def test_a_new_history_needs_no_copy(tmp_path: Path) -> None:
    upgrade(url(tmp_path / "history.db"))
    assert backups.backups_of(tmp_path / "history.db") == []


def test_the_newest_three_stay_and_nothing_else_is_touched(history: Path) -> None:
    days = [f"2026010{day}T000000" for day in range(1, 6)]
    for day in days:
        history.with_name(f"history.r0001-{day}.db").touch()
    others = ["history-20260101T000000Z.db", "history.r0001-mine.db", "other.r0001-20260101T000000.db"]
    for name in others:
        history.with_name(name).touch()
    upgrade(url(history))
    kept = [path.name for path in backups.backups_of(history)]
    assert kept[0].startswith("history.r0002-")
    assert kept[1:] == [f"history.r0001-{day}.db" for day in reversed(days[3:])]
    assert all(history.with_name(name).exists() for name in others)


def test_without_room_for_a_copy_nothing_is_upgraded(small_disk: Path) -> None:
    history = Path(shutil.copy(OLD, small_disk / "history.db"))
    before = history.read_bytes()
    room = shutil.disk_usage(small_disk).free - len(before)
    (small_disk / "of others").write_bytes(bytes(room))
    with pytest.raises(StorageError) as caught:
        upgrade(url(history))
    assert "needs" in str(caught.value)
    assert "--set database.backup_before_upgrade=false" in str(caught.value)
    assert revision(history) == "0002"
    assert sorted(path.name for path in small_disk.iterdir()) == ["history.db", "of others"]
    reported: list[str] = []
    (small_disk / "of others").write_bytes(bytes(room - 500_000))
    assert upgrade(url(history), backup_first=False, report=reported.append) == REVISION
    assert "without a backup" in reported[0]


def test_a_history_of_a_newer_version_is_not_copied_at_each_start(history: Path) -> None:
    with closing(sqlite3.connect(history)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="newer Sightline"):
        upgrade(url(history))
    assert backups.backups_of(history) == []


def test_a_copy_holds_what_was_committed_and_not_yet_in_the_file(history: Path) -> None:
    with Database(url(history)) as database:
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE sku SET name = 'in the log'")
        assert Path(f"{history}-wal").stat().st_size > 0
        copy = backups.backup_before(history, "0002")
    with closing(sqlite3.connect(copy)) as kept:
        assert kept.execute("SELECT DISTINCT name FROM sku").fetchall() == [("in the log",)]


def test_postgresql_needs_its_own_tool_and_goes_on(postgresql_url: str) -> None:
    import psycopg

    dump = OLD.with_name("r0002.postgresql.sql")
    with psycopg.connect(postgresql_url) as connection:
        connection.execute(dump.read_text())
    reported: list[str] = []
    assert upgrade(postgresql_url, report=reported.append) == REVISION
    assert "pg_dump --format=custom --file=sightline-r0002.dump" in reported[0]
    place = parse_url(postgresql_url)
    assert f"--dbname=postgresql://{place.username}@127.0.0.1:{place.port}/{place.database}" in reported[0]
    password = place.password
    assert password is not None
    assert not any(password in sentence for sentence in reported)
