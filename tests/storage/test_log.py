"""SQLite's write-ahead log takes a small share of a small disk, and gives back what it does not need."""

from __future__ import annotations

from pathlib import Path

from storage import Database, SqlHistory, upgrade
from tests.fixtures.small_disk import mounted
from tests.storage.examples import entry


def record(history: SqlHistory, first: int, count: int) -> None:
    for number in range(first, first + count):
        history.record([entry(f"f-{number}")])


def log_of(folder: Path) -> int:
    return (folder / "history.db-wal").stat().st_size


def test_on_a_small_disk_it_stays_small(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 5) as folder:
        upgrade(f"sqlite:///{folder / 'history.db'}")
        with Database(f"sqlite:///{folder / 'history.db'}") as database:
            history = SqlHistory(database, agent_id="a", agent_version="1")
            most = 0
            for first in range(0, 300, 20):
                record(history, first, 20)
                most = max(most, log_of(folder))
    assert most < 5_000_000 // 8


def test_what_grew_under_a_long_reader_is_given_back(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 16) as folder:
        upgrade(f"sqlite:///{folder / 'history.db'}")
        with Database(f"sqlite:///{folder / 'history.db'}") as database:
            history = SqlHistory(database, agent_id="a", agent_version="1")
            record(history, 0, 1)
            with database.read() as reader:
                reader.exec_driver_sql("SELECT count(*) FROM inspection").all()
                record(history, 1, 200)
                grown = log_of(folder)
            record(history, 201, 200)
            assert grown > 3_000_000, "otherwise this shows nothing"
            assert log_of(folder) < grown // 2
