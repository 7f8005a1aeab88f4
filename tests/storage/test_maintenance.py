"""upgrade and check: the schema is made, migrated and compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, inspect, text

from agent.domain.errors import StorageError
from storage import Database, SqlHistory, backup, check, schema, upgrade
from storage.views import VIEWS
from tests.storage.examples import REVISION, entry

TABLES = {
    *("sku", "recipe", "prompt_set", "reference", "calibration"),
    *("inspection", "defect", "feedback", "outbox", "event", "onboarding"),
    *("identity", "commission", "hourly_count"),
}


ON_EXPRESSIONS = {"ix_inspection_defective", "ix_hourly_count_group", "ix_hourly_count_day"}


def test_an_upgrade_makes_the_tables_and_the_views(empty_url: str) -> None:
    assert check(empty_url) != []
    assert upgrade(empty_url) == REVISION
    assert upgrade(empty_url) == REVISION
    assert check(empty_url) == []
    with Database(empty_url) as database, database.read() as connection:
        inspector = inspect(connection)
        assert set(inspector.get_table_names()) == {*TABLES, "alembic_version"}
        assert set(inspector.get_view_names()) == set(VIEWS)


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrated_schema_is_the_schema_of_the_code(database: Database) -> None:
    with database.read() as connection:
        options = {"compare_server_default": True, "include_object": _is_comparable}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def _is_comparable(item: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
    """Alembic compares no index on an expression; the next test does."""
    return name not in ON_EXPRESSIONS


def test_the_migrated_indexes_are_those_of_the_code(empty_url: str) -> None:
    upgrade(empty_url)
    with Database(empty_url) as database, database.write() as connection:
        migrated = index_definitions(connection)
        for table in schema.metadata.tables.values():
            for index in table.indexes:
                index.drop(connection)
                index.create(connection)
        assert index_definitions(connection) == migrated
        assert migrated.keys() >= ON_EXPRESSIONS


def index_definitions(connection: Connection) -> dict[str, str]:
    query = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
    }
    found = connection.execute(text(query[connection.dialect.name]))
    return {name: " ".join(sql.split()) for name, sql in found}


def test_constraints_have_the_names_that_the_code_gives_them(database: Database) -> None:
    with database.read() as connection:
        inspector = inspect(connection)
        for table in schema.metadata.tables.values():
            checks = [item for item in table.constraints if isinstance(item, CheckConstraint)]
            found = {check["name"] for check in inspector.get_check_constraints(table.name)}
            assert found == {check.name for check in checks}
            key = inspector.get_pk_constraint(table.name)["name"]
            assert key == f"pk_{table.name}" or (
                database.is_sqlite and table is schema.outbox
            )  # AUTOINCREMENT


@pytest.mark.slow
def test_two_processes_may_upgrade_at_once(empty_url: str) -> None:
    code = "import sys; from storage import upgrade; sys.stdin.read(1); print(upgrade(sys.argv[1]))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    results = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")  # both have imported and wait, or will go on at once
        process.stdin.flush()
    for process in processes:
        output, errors = process.communicate(timeout=60)
        results.append((process.returncode, output.strip(), errors))
    assert results == [(0, REVISION, "")] * 2
    assert check(empty_url) == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty_url: str) -> None:
    upgrade(empty_url)
    with Database(empty_url) as database, database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="newer Sightline"):
        upgrade(empty_url)
    (problem,) = check(empty_url)
    assert "9999" in problem
    with Database(empty_url) as database, database.read() as connection:
        assert set(inspect(connection).get_view_names()) == set(VIEWS), "the views were not dropped"


def test_an_upgrade_that_fails_changes_nothing(empty_url: str) -> None:
    with Database(empty_url) as database, database.write() as connection:
        connection.execute(text("CREATE TABLE outbox (something TEXT)"))
    with pytest.raises(StorageError, match="outbox"):
        upgrade(empty_url)
    with Database(empty_url) as database, database.read() as connection:
        assert inspect(connection).get_table_names() == ["outbox"]


def test_check_names_what_is_missing(empty_url: str) -> None:
    upgrade(empty_url)
    with Database(empty_url) as database, database.write() as connection:
        connection.execute(text("DROP VIEW defect_pareto"))
        connection.execute(text("DROP TABLE outbox"))
    assert check(empty_url) == [
        f"the schema lacks {name}; restore a backup" for name in ("defect_pareto", "outbox")
    ]


def test_check_of_a_missing_file_makes_none(tmp_path: Path) -> None:
    (problem,) = check(f"sqlite:///{tmp_path}/history.db")
    assert "no database" in problem
    assert list(tmp_path.iterdir()) == []


def test_check_finds_rows_that_point_to_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    upgrade(url)
    with Database(url, foreign_keys=False) as database, database.write() as connection:
        connection.execute(
            text(
                "INSERT INTO feedback (inspection_id, truth, given_at) VALUES ('none', 'good', '2026-01-01')"
            )
        )
    assert ["1 rows of feedback" in problem for problem in check(url, full=True)] == [True]


def test_a_backup_is_a_whole_history_made_while_the_agent_writes(tmp_path: Path) -> None:
    url, target = f"sqlite:///{tmp_path / 'history.db'}", tmp_path / "copies" / "backup.db"
    upgrade(url)
    with Database(url) as database:
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record([entry("f-1")])
        assert backup(url, target) == target
        history.record([entry("f-2")])
    assert check(f"sqlite:///{target}") == []
    with Database(f"sqlite:///{target}") as copy, copy.read() as connection:
        assert connection.execute(text("SELECT frame_id FROM inspection")).scalars().all() == ["f-1"]
    with pytest.raises(StorageError, match="exists already"):
        backup(url, target)
    assert [path.name for path in target.parent.iterdir() if "partial" in path.name] == []


def test_a_backup_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no database"):
        backup(f"sqlite:///{tmp_path / 'history.db'}", tmp_path / "copy.db")


def test_postgresql_is_backed_up_by_its_own_tool(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="pg_dump") as caught:
        backup("postgresql://u:s3cret@127.0.0.1/x?sslmode=require&sslpassword=s3cret", Path("a copy.dump"))
    assert "s3cret" not in str(caught.value)
    command = (
        "pg_dump --format=custom '--file=a copy.dump' '--dbname=postgresql://u@127.0.0.1/x?sslmode=require'"
    )
    assert command in str(caught.value)
