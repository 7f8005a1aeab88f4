"""Database: URLs, transactions, and errors of SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from agent.domain.errors import StorageError
from storage import Database, SqlHistory, check, upgrade
from tests.fixtures.postgresql import PostgresqlServer
from tests.storage.examples import entry


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("mysql://root@localhost/x", "not mysql://"),
        ("not a url", "cannot be read"),
        ("postgresql://user:pa:s3cret@word@host:port/x", "cannot be read"),
    ],
)
def test_an_unusable_url_is_refused_without_repeating_it(url: str, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught:
        Database(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_postgresql_uses_psycopg(scheme: str) -> None:
    with Database(f"{scheme}://u:s3cret@localhost/x") as database:
        assert database.engine.driver == "psycopg"
        assert str(database) == "postgresql://u:***@localhost/x"


def test_sqlite_is_in_wal_mode_durable_and_checks_references(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/deep/er/history.db") as database, database.read() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
    assert values == ["wal", 2, 1, 15000]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"folder .*file.* cannot be made"):
        Database(f"sqlite:///{tmp_path}/file/history.db")


def test_an_unmigrated_database_says_what_to_do(empty_url: str) -> None:
    with Database(empty_url) as database:
        history = SqlHistory(database, agent_id="a", agent_version="1")
        with pytest.raises(StorageError, match="sightline db upgrade"):
            history.record([entry()])


def test_a_file_that_is_not_a_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"no database at all, but long enough to look like one " * 100)
    (problem,) = check(f"sqlite:///{path}")
    assert "damaged" in problem
    with pytest.raises(StorageError, match="damaged"):
        upgrade(f"sqlite:///{path}")


def test_an_exception_of_the_caller_rolls_back(database: Database) -> None:
    def insert_and_fail() -> None:
        insert = "INSERT INTO sku (sku, registered_at, updated_at) VALUES ('x', '2026-01-01', '2026-01-01')"
        with database.write() as connection:
            connection.execute(text(insert))
            raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        insert_and_fail()
    with database.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM sku")).scalar_one() == 0


def test_writers_wait_for_each_other(database: Database) -> None:
    """Read, then write what was read plus one: nothing is lost between threads and connections."""
    insert = "INSERT INTO sku (sku, active_version, registered_at, updated_at) VALUES ('n', NULL, :t, :t)"
    with database.write() as connection:
        connection.execute(text(insert), {"t": "2026-01-01T00:00:00Z"})
        connection.execute(text("UPDATE sku SET lot = '0'"))
    start = threading.Barrier(6)

    def count_up(_: int) -> None:
        start.wait()
        for _round in range(5):
            with database.write() as connection:
                lot = connection.execute(lot_of_sku).scalar_one()
                connection.execute(text("UPDATE sku SET lot = :lot"), {"lot": str(int(lot) + 1)})

    lot_of_sku = text("SELECT lot FROM sku" if database.is_sqlite else "SELECT lot FROM sku FOR UPDATE")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count_up, range(6)))
    with database.read() as connection:
        assert connection.execute(text("SELECT lot FROM sku")).scalar_one() == "30"


def test_a_reader_is_not_disturbed_by_the_writer(database: Database) -> None:
    count = text("SELECT COUNT(*) FROM inspection")
    history = SqlHistory(database, agent_id="a", agent_version="1")
    with database.read() as connection:
        before = connection.execute(count).scalar_one()
        history.record([entry()])
        if database.is_sqlite:
            assert connection.execute(count).scalar_one() == before, "one snapshot"
    with database.read() as connection:
        assert connection.execute(count).scalar_one() == 1


def test_a_locked_file_is_explained(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    upgrade(url)
    with (
        Database(url) as holder,
        Database(url, busy_timeout_s=0.05) as other,
        holder.write(),
        pytest.raises(StorageError, match="another process keeps it locked"),
        other.write(),
    ):
        pass


def test_no_error_contains_the_password(postgresql_server: PostgresqlServer) -> None:
    secret = "v3ry%40s3cret"
    port = postgresql_server.port
    urls = [
        f"postgresql://sightline:{secret}@127.0.0.1:{port}/postgres",
        f"postgresql://sightline:{secret}@127.0.0.1:1/postgres",
        f"postgresql://sightline:{secret}@127.0.0.1:{port}/postgres?options={secret}",
    ]
    for url in urls:
        (problem,) = check(url)
        assert "s3cret" not in problem
        assert "***" in problem
    assert "check the user and the password" in check(urls[0])[0]
    assert "check host, port and that it runs" in check(urls[1])[0]
    url = postgresql_server.url("postgres")
    with Database(url) as database, pytest.raises(StorageError) as caught:
        SqlHistory(database, agent_id="a", agent_version="1").record([entry()])
    password = postgresql_server.password
    assert password not in str(caught.value)
    assert password not in repr(caught.value.__cause__)
