"""``SyntheticHistory``: a history with many rows of an imagined plant, to measure queries and insertion on.

The first rows are written as the agent writes them; the others are copies of them that the database itself
makes, moved in time. The same seed gives the same rows on SQLite and PostgreSQL.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Table, delete, func, insert, literal, select, text, update

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.inspection import Inspection
from agent.ports.history import Entry
from agent.ports.sinks import OutboxMessage
from storage import schema
from storage.benchmark.plant import Plant
from storage.database import Database
from storage.history import SqlHistory
from storage.recipe_book import SqlRecipeBook
from storage.triggers import count_again, create_triggers, drop_triggers

END = datetime(2026, 11, 21, tzinfo=UTC)
"""When the newest row was received: the queries of storage/README.md ask for 20 November as the last day."""

DAYS = 90
BLOCK = 20_000

_BATCH = 64
"""Frames of one transaction, as a busy agent writes them."""

_VERDICT = b'{"verdict": "PASS", "padding": "' + b"." * 900 + b'"}'
"""A payload of the size that a verdict has."""

_MEDIA_KEPT = {"PASS": 7, "ERROR": 30}
"""Days."""
_SENT_KEPT = 7
_EVENTS = 500
"""Frames for one event."""
_SEVERITIES = ("warning", "info", "info", "error", "info")


@dataclass(frozen=True, slots=True)
class Insertion:
    """How fast the agent's own code wrote frames, each with its defects and one message."""

    frames: int
    rows_per_s: float
    rows_per_cpu_s: float
    """By processor time of this process. That of a server is not in it."""


class SyntheticHistory:
    """Inspections of the last :data:`DAYS` days with defects, feedback, events and sent messages.

    Args:
        database: upgraded to the newest schema and without any inspection or recipe.
        rows: a multiple of ``block``, or fewer than that.
        seed: of every drawn value.
        block: rows that the agent's own code writes; every further block is a copy of them.

    Raises:
        StorageError: the database already holds a history.
        ValueError: not such a number of rows.
    """

    def __init__(self, database: Database, rows: int, *, seed: int = 7, block: int = BLOCK) -> None:
        if rows < 1 or (rows > block and rows % block):
            raise ValueError(f"a history has fewer than {block:,} rows or a multiple of it, not {rows:,}")
        with database.read() as connection:
            for table in (schema.inspection, schema.recipe):
                if connection.execute(select(func.count()).select_from(table)).scalar_one():
                    raise StorageError(f"{database} already holds a history; name an empty database")
        self._database = database
        self._rows, self._block = rows, min(rows, block)
        self._plant = Plant(random.Random(seed), timedelta(days=DAYS) / rows)
        self._plant.make_recipes(SqlRecipeBook(database))
        self._history = SqlHistory(database, agent_id="bench", agent_version="0")

    def fill(self, progress: Callable[[int], object]) -> Insertion:
        """Write all rows. ``progress`` takes how many are written. Raises StorageError."""
        interval = self._plant.interval
        inspections = self._plant.inspections(0, self._block, END - self._rows * interval)
        insertion = self._record(inspections)
        self._answer(inspections)
        progress(self._block)
        if self._rows > self._block:
            self._copy(progress)
        self._database.refresh_statistics()
        return insertion

    def record(self, count: int) -> Insertion:
        """Write more frames behind the newest one, as the agent does. Raises StorageError."""
        return self._record(self._plant.inspections(self._rows, count, END))

    def _record(self, inspections: Sequence[Inspection]) -> Insertion:
        entries = [
            Entry(one, (OutboxMessage("mqtt", "verdict", f"{one.identity.camera}/verdict", _VERDICT),))
            for one in inspections
        ]
        started, used = time.perf_counter(), time.process_time()
        for first in range(0, len(entries), _BATCH):
            self._history.record(entries[first : first + _BATCH])
        elapsed, used = time.perf_counter() - started, time.process_time() - used
        return Insertion(len(entries), len(entries) / elapsed, len(entries) / used)

    def _answer(self, inspections: Sequence[Inspection]) -> None:
        for inspection in inspections:
            for feedback in self._plant.feedback(inspection):
                self._history.record_feedback(feedback)
        for position, one in enumerate(inspections[::_EVENTS]):
            severity = _SEVERITIES[position % len(_SEVERITIES)]
            camera = str(one.identity.camera)
            self._history.record_event(
                Event("gap", "3 frames are missing", one.received_at, camera, severity=severity)
            )
        with self._database.write() as connection:
            outbox = schema.outbox
            connection.execute(update(outbox).values(sent_at=outbox.c.created_at, payload=None))

    def _copy(self, progress: Callable[[int], object]) -> None:
        """The blocks after the first. Indexes and counts are made at the end, which is faster."""
        rows, block, interval = self._rows, self._block, self._plant.interval
        indexes = [index for table in _FIRST for index in table.indexes]
        with self._database.engine.connect() as connection:
            with connection.begin():
                for table, first in _FIRST.items():
                    connection.execute(text(f"CREATE TEMPORARY TABLE first_{table.name} AS {first}"))
                for index in indexes:
                    index.drop(connection)
                drop_triggers(connection)
            statements = [_copy_statement(table, connection.dialect.name) for table in _FIRST]
            for first_of_block in range(block, rows, block):
                values = {
                    "first": first_of_block,
                    "seconds": int((first_of_block * interval).total_seconds()),
                    "age": ((rows - first_of_block - block) * interval).days,
                }
                with connection.begin():
                    for statement in statements:
                        connection.execute(text(statement), values)
                progress(first_of_block + block)
            with connection.begin():
                for table in _FIRST:
                    connection.execute(text(f"DROP TABLE first_{table.name}"))
                _leave_sent_messages(connection)
                count_again(connection)
                create_triggers(connection)
            for index in indexes:
                with connection.begin():
                    index.create(connection)


_FIRST = {
    schema.inspection: "SELECT *, sequence AS number FROM inspection",
    schema.defect: "SELECT d.*, sequence AS number FROM defect d JOIN inspection USING (inspection_id)",
    schema.feedback: "SELECT f.*, sequence AS number FROM feedback f JOIN inspection USING (inspection_id)",
    schema.event: "SELECT *, 0 AS number FROM event",
}
"""The rows of the first block, each with the number of its inspection."""


def _copy_statement(table: Table, dialect: str) -> str:
    """An INSERT of one more block. Numbers that look random replace the beginning of every digest."""
    number = "(:first + number)" if dialect == "sqlite" else "(CAST(:first AS BIGINT) + number)"
    drawn = f"({number} * 2654435761) % 4294967296"
    if dialect == "sqlite":
        hexadecimal, frame = f"printf('%08x', {drawn})", f"printf('f-%08d', {number})"
        later = "strftime('%Y-%m-%dT%H:%M:%f000Z', {}, '+' || :seconds || ' seconds')"
    else:
        hexadecimal, frame = f"lpad(to_hex({drawn}), 8, '0')", f"'f-' || to_char({number}, 'FM00000000')"
        later = "{} + CAST(:seconds AS INTEGER) * INTERVAL '1 second'"
    path = "substr({0}, 1, 2) || '/' || substr({0}, 3, 2) || '/' || {0} || substr({1}, 15)"
    gone = " OR ".join(f"verdict = '{verdict}' AND :age >= {days}" for verdict, days in _MEDIA_KEPT.items())
    expressions = {
        "inspection_id": f"{hexadecimal} || substr(inspection_id, 9)",
        "frame_id": frame,
        "part_id": f"'SN-' || {number}",
        "sequence": number,
        "content_sha256": f"{hexadecimal} || substr(content_sha256, 9)",
        **{
            role: f"CASE WHEN {gone} THEN NULL ELSE {path.format(hexadecimal, role)} END"
            for role in schema.MEDIA
        },
        **{at: later.format(at) for at in ("received_at", "inspected_at", "given_at", "occurred_at")},
    }
    names = [column.name for column in table.columns if column.name != "id"]
    copied = ", ".join(expressions.get(name, name) for name in names)
    order = {"inspection": "received_at", "event": "occurred_at"}.get(table.name, "number")
    return (
        f"INSERT INTO {table.name} ({', '.join(names)})"  # noqa: S608 - our own names
        f" SELECT {copied} FROM first_{table.name} ORDER BY {order}"
    )


def _leave_sent_messages(connection: Connection) -> None:
    """The messages of the last days, as the retention leaves them: sent, without payload."""
    columns, outbox = schema.inspection.c, schema.outbox
    connection.execute(delete(outbox))
    sent = select(
        literal("bench"), columns.inspection_id, literal("verdict"), literal("mqtt"), literal("verdict"),
        literal("application/json"), literal(value=False), columns.inspected_at, columns.inspected_at,
    ).where(columns.received_at >= END - timedelta(days=_SENT_KEPT))  # fmt: skip
    names = (
        "agent_id", "inspection_id", "kind", "sink", "destination",
        "content_type", "retain", "created_at", "sent_at",
    )  # fmt: skip
    connection.execute(insert(outbox).from_select(names, sent.order_by(columns.received_at)))
