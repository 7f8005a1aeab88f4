"""The queries of storage/README.md on a history with many rows: equal answers, and plans that use indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from agent.domain.errors import StorageError
from storage import Database, schema, upgrade
from storage.benchmark.documented_queries import DocumentedQuery, documented_queries, explain
from storage.benchmark.synthetic_history import SyntheticHistory
from tests.fixtures.postgresql import PostgresqlServer

ROWS, BLOCK = 4_000, 1_000
QUERIES = documented_queries()
RARE = ("'ERROR'", "'PASS'", "missing part")
"""In queries that so few rows need not answer."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def histories(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[Mapping[str, Database]]:
    urls = {
        "sqlite": f"sqlite:///{tmp_path_factory.mktemp('history') / 'history.db'}",
        "postgresql": postgresql_server.url(postgresql_server.create()),
    }
    opened = {}
    for name, url in urls.items():
        upgrade(url)
        opened[name] = Database(url)
        SyntheticHistory(opened[name], ROWS, block=BLOCK).fill(lambda _rows: None)
    with opened["postgresql"].engine.connect() as connection, connection.begin():
        connection.execute(text("ANALYZE"))
    yield opened
    for database in opened.values():
        database.close()


def plain(value: Any) -> Any:
    """A value of a view as both databases have it."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str):
        return value
    return round(float(value), 9)


def answered(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        return [tuple(map(plain, row)) for row in connection.execute(text(sql))]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title[:40])
def test_both_databases_answer_alike(histories: Mapping[str, Database], query: DocumentedQuery) -> None:
    sqlite, postgresql = (answered(histories[name], query.sql) for name in ("sqlite", "postgresql"))
    assert sorted(map(repr, sqlite)) == sorted(map(repr, postgresql))
    assert sqlite != [] or any(words in query.sql for words in RARE)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title[:40])
@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_no_large_table_is_read_as_a_whole(
    histories: Mapping[str, Database], name: str, query: DocumentedQuery
) -> None:
    with histories[name].read() as connection:
        plan = explain(connection, query.sql)
    # PostgreSQL rightly reads a small table as a whole. In views, ``i`` and ``f`` are inspections and
    # feedback.
    whole = {"postgresql": r"Seq Scan on inspection\b", "sqlite": "SCAN (inspection|feedback|event|i|f)$"}
    assert [line for line in plan if re.search(whole[name], line)] == []


FILTERS = {
    "verdict IN ('FAIL', 'REVIEW') AND truth IS NULL": "ix_inspection_unanswered",
    "verdict = 'PASS' AND sku = 'product-01'": "ix_inspection_sku",
    "verdict = 'PASS' AND truth = 'defective'": "ix_inspection_judged",
    "sku = 'product-01' AND recipe_version = 9": "ix_inspection_sku",
    "sku = 'product-01' AND score > 5": "ix_inspection_sku",
    "site = 'plant' AND line = 'line-1' AND camera = 'cam-1' AND verdict = 'PASS'": "ix_inspection_camera",
    "verdict = 'FAIL' AND received_at >= '2026-11-14'": "ix_inspection_verdict_received_at",
}
"""Some would be slow by another index that fits: nearly all rows have the verdict PASS."""


@pytest.mark.parametrize("condition", FILTERS)
def test_the_index_of_the_rarest_value_serves_a_page(
    histories: Mapping[str, Database], condition: str
) -> None:
    """On SQLite, whose statistics are simple. PostgreSQL knows how often each value stands."""
    view = f"FROM inspection_history WHERE {condition} ORDER BY received_at DESC LIMIT 50"
    with histories["sqlite"].read() as connection:
        (line,) = explain(connection, f"SELECT received_at {view}")
    assert FILTERS[condition] in line, "and nothing is sorted"


def test_the_counts_of_the_views_are_those_of_the_rows(histories: Mapping[str, Database]) -> None:
    columns = schema.inspection.c
    for database in histories.values():
        with database.read() as connection:
            by_verdict = select(columns.verdict, func.count()).group_by(columns.verdict)
            verdicts = {row[0]: row[1] for row in connection.execute(by_verdict)}
            sums = "SUM(passed), SUM(failed), SUM(review), SUM(errors), SUM(skipped)"
            counted = connection.execute(
                text(f"SELECT SUM(inspections), {sums} FROM hourly_yield")  # noqa: S608 - our own names
            ).one()
            days = connection.execute(text("SELECT SUM(inspections), SUM(feedback) FROM sku_quality")).one()
            judged = connection.execute(select(func.count(columns.truth))).scalar_one()
        assert list(map(int, counted)) == [
            ROWS,
            *(verdicts[name] for name in ("PASS", "FAIL", "REVIEW", "ERROR", "SKIPPED")),
        ]
        assert list(map(int, days)) == [ROWS, judged]


def test_a_page_begins_where_the_page_before_ended(histories: Mapping[str, Database]) -> None:
    (query,) = (one for one in QUERIES if "(received_at, inspection_id) <" in one.sql)
    for database in histories.values():
        with database.read() as connection:
            seen: list[str] = []
            after = ("2027-01-01T00:00:00Z", "")
            while len(seen) < 200:
                sql = re.sub(r"\('2026.*'\)", "(:at, :id)", query.sql)
                if not database.is_sqlite:
                    sql = sql.replace(":at", "CAST(:at AS TIMESTAMPTZ)")
                page = connection.execute(text(sql), dict(zip(("at", "id"), after, strict=True))).all()
                seen += [row.inspection_id for row in page]
                after = (page[-1].received_at, page[-1].inspection_id)
            newest = select(schema.inspection.c.inspection_id).order_by(
                schema.inspection.c.received_at.desc(), schema.inspection.c.inspection_id.desc()
            )
            assert seen == connection.execute(newest.limit(200)).scalars().all()


def test_blocks_are_copied_and_the_indexes_made_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    upgrade(url)
    with Database(url) as database:
        written: list[int] = []
        history = SyntheticHistory(database, 1500, block=500)
        history.fill(written.append)
        assert written == [500, 1000, 1500]
        with database.read() as connection:
            tables = (schema.inspection, schema.defect, schema.feedback, schema.event)
            counts = [
                connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables
            ]
            indexes = connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
            )
            assert set(indexes.scalars()) == {
                index.name for table in schema.metadata.tables.values() for index in table.indexes
            }
            judged = connection.execute(select(func.count(schema.inspection.c.truth))).scalar_one()
            answered = connection.execute(
                select(func.count(schema.feedback.c.inspection_id.distinct()))
            ).scalar_one()
        assert counts[0] == 1500
        assert all(count and count % 3 == 0 for count in counts)
        assert judged == answered
        history.record(3)
        with pytest.raises(StorageError, match="already holds a history"):
            SyntheticHistory(database, 10)
    with Database(url) as database, pytest.raises(ValueError, match="a multiple"):
        SyntheticHistory(database, 501, block=500)
