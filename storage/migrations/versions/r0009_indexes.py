"""Indexes for the filters of the views, and the truth of an inspection beside its verdict."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.column_types import SKU_BYTES, Name, RowId, UtcDateTime

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

_HOUR = {
    "sqlite": "substr(received_at, 1, 13) || ':00:00Z'",
    "postgresql": "date_trunc('hour', received_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
}
_DAY = {"sqlite": "(substr({}, 1, 10))", "postgresql": "(CAST({} AT TIME ZONE 'UTC' AS DATE))"}

_COUNTED = {
    "inspections": "TRUE",
    "passed": "verdict = 'PASS'",
    "failed": "verdict = 'FAIL'",
    "review": "verdict = 'REVIEW'",
    "errors": "verdict = 'ERROR'",
    "skipped": "verdict = 'SKIPPED'",
    "truth_good": "truth = 'good'",
    "truth_defective": "truth = 'defective'",
    "false_alarms": "truth = 'good' AND verdict = 'FAIL'",
    "escapes": "truth = 'defective' AND verdict = 'PASS'",
}


def upgrade() -> None:
    op.add_column("inspection", sa.Column("truth", sa.String(16)))
    op.execute(
        """
        UPDATE inspection SET truth = (
            SELECT f.truth FROM feedback f WHERE f.inspection_id = inspection.inspection_id
            ORDER BY f.given_at DESC, f.id DESC LIMIT 1
        )
        WHERE inspection_id IN (SELECT inspection_id FROM feedback)
        """
    )
    dialect = op.get_bind().dialect.name
    _count(_HOUR[dialect], sa.text(_DAY[dialect].format("hour")))
    day = sa.text(_DAY[dialect].format("received_at"))
    op.drop_index("ix_inspection_site_line_camera_received_at", table_name="inspection")
    op.drop_index("ix_inspection_sku_received_at", table_name="inspection")
    _index("ix_inspection_camera", ["site", "line", "camera", "received_at", "sku", "verdict"])
    _index("ix_inspection_sku", ["sku", "received_at", "recipe_version", "verdict", "score"])
    _index("ix_inspection_verdict_received_at", ["verdict", "received_at"])
    read = ["received_at", "site", "line", "sku", "inspection_id"]
    _index(
        "ix_inspection_defective", [day, *read], "truth = 'defective' OR (truth IS NULL AND verdict = 'FAIL')"
    )
    _index("ix_inspection_unanswered", ["received_at"], "verdict IN ('FAIL', 'REVIEW') AND truth IS NULL")
    _index("ix_inspection_judged", ["truth", "received_at", "verdict"], "truth IS NOT NULL")
    op.create_index("ix_defect_label", "defect", ["label"])


def _count(hour: str, day: sa.TextClause) -> None:
    op.create_table(
        "hourly_count",
        sa.Column("id", RowId, nullable=False),
        sa.Column("hour", UtcDateTime, nullable=False),
        sa.Column("site", Name, nullable=False),
        sa.Column("line", Name, nullable=False),
        sa.Column("camera", Name, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("sku", Name(SKU_BYTES)),
        sa.Column("recipe_version", sa.Integer),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _COUNTED),
        sa.PrimaryKeyConstraint("id", name="pk_hourly_count"),
    )
    group = "site, line, camera, shadow, sku, recipe_version"
    counts = ", ".join(f"COUNT(*) FILTER (WHERE {of})" for of in _COUNTED.values())
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "SET LOCAL work_mem = '256MB'"
        )  # otherwise it sorts millions of rows on the disk
    connection.exec_driver_sql(
        f"INSERT INTO hourly_count (hour, {group}, {', '.join(_COUNTED)})"  # noqa: S608 - our own names
        f" SELECT {hour}, {group}, {counts} FROM inspection GROUP BY {hour}, {group}"
    )
    distinct = ("hour", "site", "line", "camera", "shadow", "COALESCE(sku, '')", "(sku IS NULL)")
    columns = [sa.text(one) for one in (*distinct, "COALESCE(recipe_version, -1)")]
    op.create_index("ix_hourly_count_group", "hourly_count", columns, unique=True)
    op.create_index("ix_hourly_count_day", "hourly_count", [day])


def _index(name: str, columns: list[str | sa.TextClause], only: str | None = None) -> None:
    where = None if only is None else sa.text(only)
    op.create_index(name, "inspection", columns, sqlite_where=where, postgresql_where=where)
