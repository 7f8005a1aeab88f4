"""``create_triggers``: the database itself keeps the truth of an inspection and the counts by hour.

``inspection.truth`` is that of the latest feedback, so that an index serves a filter by it. ``hourly_count``
holds how many inspections of a kind there were. Both are right whoever writes: an agent of an older version,
a person, a restored dump. Like the views, the triggers are dropped before the migrations of an upgrade and
created after them.

On PostgreSQL the counts follow each statement, not each row, in one order. So two agents that write the same
frames wait for each other and do not deadlock.
"""

from __future__ import annotations

from sqlalchemy import Connection

from storage.schema import COUNTED, COUNTED_BY

_HOUR = {
    "sqlite": "substr({row}received_at, 1, 13) || ':00:00Z'",  # times are stored as UTC: UtcDateTime
    "postgresql": "date_trunc('hour', {row}received_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
}
_GROUP = ("site", "line", "camera", "shadow", "sku", "recipe_version")
_COLUMNS = ", ".join(("hour", *_GROUP, *COUNTED))
_ADD = f"ON CONFLICT ({', '.join(COUNTED_BY)}) DO UPDATE SET " + ", ".join(
    f"{name} = hourly_count.{name} + excluded.{name}" for name in COUNTED
)
_COUNTED_OF = "received_at, site, line, camera, shadow, sku, recipe_version, verdict, truth"
"""Columns of an inspection that a count depends on."""


_CHANGES = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}

TRIGGERS = {f"feedback_truth_{change}": "feedback" for change in _CHANGES} | {
    f"inspection_count_{change}": "inspection" for change in _CHANGES
}
"""Each with its table. On PostgreSQL the function has the same name."""


def create_triggers(connection: Connection) -> None:
    """Create them in the caller's transaction."""
    for statement in _sqlite() if connection.dialect.name == "sqlite" else _postgresql():
        connection.exec_driver_sql(statement)


def drop_triggers(connection: Connection) -> None:
    """Drop those that exist, inside the caller's transaction."""
    for name, table in TRIGGERS.items():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        else:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON {table}")
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}()")


def missing_triggers(connection: Connection) -> list[str]:
    """Those that are not there or do nothing, sorted: without them the views would be wrong."""
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.dialect.name == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
        " AND tgrelid IN ('inspection'::regclass, 'feedback'::regclass)"
    )
    return sorted(set(TRIGGERS).difference(connection.exec_driver_sql(query).scalars()))


def count_again(connection: Connection) -> None:
    """Count all inspections, where many rows were written while there were no triggers."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.exec_driver_sql("SET LOCAL work_mem = '256MB'")  # otherwise it sorts millions on the disk
    group = f"{_HOUR[dialect].format(row='')}, {', '.join(_GROUP)}"
    counts = ", ".join(f"COUNT(*) FILTER (WHERE {of})" for of in COUNTED.values())
    connection.exec_driver_sql("DELETE FROM hourly_count")
    connection.exec_driver_sql(
        f"INSERT INTO hourly_count ({_COLUMNS})"  # noqa: S608 - our own names
        f" SELECT {group}, {counts} FROM inspection GROUP BY {group}"
    )


# ------------------------------------------------------------------------------------------ SQLite

_LATEST = """(
    SELECT f.truth FROM feedback f WHERE f.inspection_id = {row}.inspection_id
    ORDER BY f.given_at DESC, f.id DESC LIMIT 1
)"""


def _sqlite() -> list[str]:
    triggers = []
    for change, rows in _CHANGES.items():
        truth = "".join(
            f"UPDATE inspection SET truth = {_LATEST.format(row=row)}"  # noqa: S608 - our own names
            f" WHERE inspection_id = {row}.inspection_id; "
            for row in rows
        )
        triggers.append(
            f"CREATE TRIGGER feedback_truth_{change} AFTER {change} ON feedback BEGIN {truth} END"
        )
        of = f" OF {_COUNTED_OF}" if change == "update" else ""
        count = "".join(_counted_row(row) for row in rows)
        triggers.append(
            f"CREATE TRIGGER inspection_count_{change} AFTER {change}{of} ON inspection BEGIN {count} END"
        )
    return triggers


def _counted_row(row: str) -> str:
    sign = "-" if row == "OLD" else ""
    group = ", ".join(f"{row}.{column}" for column in _GROUP)
    counts = ", ".join(
        f"{sign}(({of.replace('verdict', f'{row}.verdict').replace('truth', f'{row}.truth')}) IS TRUE)"
        for of in COUNTED.values()
    )
    hour = _HOUR["sqlite"].format(row=f"{row}.")
    return (
        f"INSERT INTO hourly_count ({_COLUMNS})"  # noqa: S608 - our own names
        f" VALUES ({hour}, {group}, {counts}) {_ADD}; "
    )


# -------------------------------------------------------------------------------------- PostgreSQL

# Whoever waits for the row's lock must see the feedback that was committed meanwhile. So the truth is looked
# up in a statement of its own, after the lock.
_TRUTH = """
    PERFORM 1 FROM inspection i WHERE i.inspection_id = {row}.inspection_id FOR NO KEY UPDATE;
    UPDATE inspection i SET truth = {latest} WHERE i.inspection_id = {row}.inspection_id;
"""


def _postgresql() -> list[str]:
    triggers = []
    for change, rows in _CHANGES.items():
        truth = "".join(_TRUTH.format(row=row, latest=_LATEST.format(row=row)) for row in rows)
        triggers += [
            _function(f"feedback_truth_{change}", truth),
            f"CREATE TRIGGER feedback_truth_{change} AFTER {change} ON feedback"
            f" FOR EACH ROW EXECUTE FUNCTION feedback_truth_{change}()",
        ]
        tables = " ".join(f"{row} TABLE AS {row.lower()}_rows" for row in rows)
        triggers += [
            _function(f"inspection_count_{change}", _counted_rows(rows)),
            f"CREATE TRIGGER inspection_count_{change} AFTER {change} ON inspection REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION inspection_count_{change}()",
        ]
    return triggers


def _function(name: str, body: str) -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"


def _counted_rows(rows: tuple[str, ...]) -> str:
    changed = " UNION ALL ".join(
        f"SELECT {'-1' if row == 'OLD' else '1'} AS sign, {_COUNTED_OF}"  # noqa: S608 - our own names
        f" FROM {row.lower()}_rows"
        for row in rows
    )
    sums = [f"COALESCE(SUM(sign) FILTER (WHERE {of}), 0)" for of in COUNTED.values()]
    group = f"{_HOUR['postgresql'].format(row='')}, {', '.join(_GROUP)}"
    return (
        f"INSERT INTO hourly_count ({_COLUMNS})"  # noqa: S608 - our own names
        f" SELECT {group}, {', '.join(sums)} FROM ({changed}) changed"
        f" GROUP BY {group} HAVING {' OR '.join(f'{one} <> 0' for one in sums)}"
        f" ORDER BY 2, 3, 4, 1, 5, 6, 7 {_ADD};"
    )
