"""``summary``, ``inspections`` and ``query``: reads for commands. People query the views (README.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, text

from storage import schema
from storage.database import Database
from storage.views import HISTORY

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """The history in a few numbers."""

    frames: int
    verdicts: dict[str, int]
    """Number of inspections by verdict, for verdicts that occur."""
    skus: tuple[str, ...]
    """SKUs that were inspected, sorted."""
    recipes: dict[str, int]
    """The active version of each SKU that has one."""
    prompt_sources: dict[str, int]
    """Number of inspections by the source of their prompts."""


def summary(database: Database, since: datetime | None = None) -> Summary:
    """Counts over the inspections received at ``since`` or later. Raises StorageError."""
    columns = schema.inspection.c
    recent = [] if since is None else [columns.received_at >= since]

    def counts(column: ColumnElement[Any]) -> dict[str, int]:
        query = select(column, func.count()).where(column.is_not(None), *recent)
        return dict(connection.execute(query.group_by(column).order_by(column)).all())

    with database.read() as connection:
        verdicts = counts(columns.verdict)
        active = select(schema.sku.c.sku, schema.sku.c.active_version).where(
            schema.sku.c.active_version.is_not(None)
        )
        return Summary(
            frames=sum(verdicts.values()),
            verdicts=verdicts,
            skus=tuple(sorted(counts(columns.sku))),
            recipes=dict(connection.execute(active.order_by(schema.sku.c.sku)).all()),
            prompt_sources=counts(columns.prompt_source),
        )


def inspections(
    database: Database,
    *,
    since: datetime | None = None,
    sku: str | None = None,
    verdict: str | None = None,
    limit: int | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Rows of the view ``inspection_history`` in order of arrival, as mappings with times in UTC.

    Rows are fetched in chunks while one read transaction is open: finish or close the iterator.
    Raises StorageError.
    """
    columns = HISTORY.c
    query = select(HISTORY).order_by(columns.received_at, columns.inspection_id).limit(limit)
    if since is not None:
        query = query.where(columns.received_at >= since)
    if sku is not None:
        query = query.where(columns.sku == sku)
    if verdict is not None:
        query = query.where(columns.verdict == verdict)
    with database.read() as connection:
        for row in connection.execution_options(yield_per=_CHUNK).execute(query).mappings():
            yield dict(row)


def defects(database: Database, inspection_id: str) -> list[Mapping[str, Any]]:
    """The defects of one inspection by index. Raises StorageError."""
    columns = schema.defect.c
    query = select(schema.defect).where(columns.inspection_id == inspection_id).order_by(columns.defect_index)
    with database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def query(
    database: Database, sql: str, parameters: Mapping[str, Any] | None = None
) -> Sequence[Mapping[str, Any]]:
    """Rows of a SQL statement with ``:name`` parameters, which cannot write anything.

    Values are as the database has them: times of SQLite are text. Raises StorageError.
    """
    with database.read() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            return [dict(row) for row in connection.execute(text(sql), parameters).mappings()]
        connection.exec_driver_sql("PRAGMA query_only = ON")
        try:
            return [dict(row) for row in connection.execute(text(sql), parameters).mappings()]
        finally:  # the connection goes back to the others
            connection.exec_driver_sql("PRAGMA query_only = OFF")
