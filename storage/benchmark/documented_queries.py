"""``documented_queries``: the queries of storage/README.md, and how the database answers them."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from sqlalchemy import Connection, text

from storage.database import Database

_PART = re.compile(
    r"^## (?P<section>[^\n]*)$|(?P<before>[^\n]*)\n+```sql\n(?P<sql>.*?)```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class DocumentedQuery:
    section: str
    """The heading above it, mostly the name of a view."""
    title: str
    """The line before it."""
    sql: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a database answered a query."""

    rows: int
    median_ms: float
    plan: tuple[str, ...]


def documented_queries() -> list[DocumentedQuery]:
    """In the order of the page."""
    page = (files("storage") / "README.md").read_text(encoding="utf-8")
    section, found = "", []
    for part in _PART.finditer(page):
        if part["section"] is not None:
            section = part["section"]
        else:
            found.append(
                DocumentedQuery(section, part["before"].rstrip(":."), part["sql"].strip().rstrip(";"))
            )
    return found


def answer(database: Database, sql: str, runs: int = 5) -> Answer:
    """Run it ``runs`` times after a first time that does not count. Raises StorageError."""
    times = []
    with database.read() as connection:
        plan = explain(connection, sql)
        for _ in range(runs + 1):
            started = time.perf_counter()
            rows = connection.execute(text(sql)).all()
            times.append(1000.0 * (time.perf_counter() - started))
    return Answer(len(rows), statistics.median(times[1:]), tuple(plan))


def explain(connection: Connection, sql: str) -> Sequence[str]:
    """The lines of the plan: each table with how it is read."""
    if connection.dialect.name == "sqlite":
        return [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
    return list(connection.execute(text(f"EXPLAIN (COSTS OFF) {sql}")).scalars())
