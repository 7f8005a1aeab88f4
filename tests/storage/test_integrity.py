"""Integrity of SQLite files: damage is found before anything is written, and the file stays as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.errors import StorageError
from storage import Database, SqlHistory, check, integrity, prepare, upgrade
from tests.storage.examples import REVISION, entry

PAGE = 4096


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A history of some pages, wholly in its file."""
    path = tmp_path / "history.db"
    upgrade(url(path))
    with Database(url(path)) as database:
        rows = [entry(f"f-{number}") for number in range(300)]
        SqlHistory(database, agent_id="a", agent_version="1").record(rows)
    return path


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def _noise(path: Path) -> None:
    """As a card with broken cells: three pages hold anything."""
    content = bytearray(path.read_bytes())
    first = len(content) // PAGE * 2 // 3 * PAGE
    content[first : first + 3 * PAGE] = os.urandom(3 * PAGE)
    path.write_bytes(content)


def _zeros(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5 * PAGE : 12 * PAGE] = bytes(7 * PAGE)
    path.write_bytes(content)


def _cut(path: Path) -> None:
    """As a copy that was broken off."""
    os.truncate(path, path.stat().st_size // 2)


def _header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"no database at all")


DAMAGE = [_noise, _zeros, _cut, _header]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_stops_the_start_and_is_left_as_it_is(
    history: Path, damage: Callable[[Path], None]
) -> None:
    damage(history)
    before = history.read_bytes()
    with pytest.raises(StorageError) as caught:
        prepare(url(history))
    sentence = str(caught.value)
    assert f"the database file {history} is damaged" in sentence
    assert "put a backup in its place" in sentence
    assert f"sqlite3 {history} .recover" in sentence
    assert history.read_bytes() == before
    assert "is damaged" in check(url(history), full=True)[0]
    assert history.read_bytes() == before


def test_the_newest_copy_of_an_upgrade_is_named(history: Path) -> None:
    copy = history.with_name("history.r0002-20260101T000000.db")
    shutil.copy(history, copy)
    _noise(history)
    with pytest.raises(StorageError, match=r"the newest that an upgrade made is .*history\.r0002-20260101"):
        prepare(url(history))


def test_what_is_only_in_the_log_is_not_written_into_a_damaged_file(history: Path) -> None:
    """An agent was killed: its last rows are in the log, and the file was damaged since."""
    killed = history.with_name("killed.db")
    with Database(url(history)) as database:
        SqlHistory(database, agent_id="a", agent_version="1").record([entry("f-last")])
        for suffix in ("", "-wal"):
            shutil.copy(f"{history}{suffix}", f"{killed}{suffix}")
    _noise(killed)
    before = killed.read_bytes(), Path(f"{killed}-wal").read_bytes()
    assert before[1] != b""
    with pytest.raises(StorageError, match="is damaged"):
        prepare(url(killed))
    assert (killed.read_bytes(), Path(f"{killed}-wal").read_bytes()) == before


def test_a_whole_file_with_a_log_of_a_killed_agent_is_well(history: Path) -> None:
    killed = history.with_name("killed.db")
    with Database(url(history)) as database:
        SqlHistory(database, agent_id="a", agent_version="1").record([entry("f-last")])
        for suffix in ("", "-wal"):
            shutil.copy(f"{history}{suffix}", f"{killed}{suffix}")
    assert prepare(url(killed)) == REVISION
    with closing(sqlite3.connect(killed)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM inspection").fetchone() == (301,)


def test_an_index_that_lacks_a_row_is_found_by_the_full_check(history: Path) -> None:
    with closing(sqlite3.connect(history)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = sql || ' WHERE 0' WHERE name = 'ix_inspection_part_id'"
        )
        connection.commit()
    with closing(sqlite3.connect(history)) as connection:
        connection.execute("REINDEX ix_inspection_part_id")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' WHERE 0', '') WHERE name = 'ix_inspection_part_id'"
        )
        connection.commit()
    assert check(url(history)) == [], "the start does not compare indexes: it would take too long"
    assert "ix_inspection_part_id" in check(url(history), full=True)[0]


def test_a_look_that_takes_too_long_ends_and_the_agent_starts(
    history: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "storage"):
        integrity.verify_file(url(history), limit_s=-1.0)
    assert "`sightline db check` looks at the whole of it" in caplog.text


def test_a_history_in_use_may_be_looked_at(history: Path) -> None:
    with Database(url(history)) as database, database.write():
        integrity.verify_file(url(history))
        assert integrity.file_problems(history, full=True) == []


@pytest.mark.parametrize("content", [None, b""])
def test_where_there_is_no_history_yet_one_is_made(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "history.db"
    if content is not None:
        path.write_bytes(content)
    assert prepare(url(path)) == REVISION


def test_a_table_that_somebody_dropped_stops_the_start(history: Path) -> None:
    with closing(sqlite3.connect(history)) as connection, connection:
        connection.execute("DROP TABLE event")
    with pytest.raises(StorageError, match="the schema lacks event; restore a backup"):
        prepare(url(history))


@pytest.mark.slow
def test_what_the_sentence_says_works(history: Path) -> None:
    """`.recover` brings back what a damaged file still holds."""
    if shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 command is not installed")
    whole = subprocess.run(["sqlite3", history, ".recover"], capture_output=True, check=False)
    if b"INSERT" not in whole.stdout:
        pytest.skip("this sqlite3 command was built without .recover")
    _noise(history)
    saved = history.with_name("saved.db")
    recovered = subprocess.run(["sqlite3", history, ".recover"], capture_output=True, check=False)
    subprocess.run(["sqlite3", saved], input=recovered.stdout, capture_output=True, check=False)
    with closing(sqlite3.connect(saved)) as connection:
        (rows,) = connection.execute("SELECT COUNT(*) FROM inspection").fetchone()
    assert rows > 0
