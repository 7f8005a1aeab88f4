"""The views that people query, the same columns on SQLite and PostgreSQL.

They are dropped before the migrations of an upgrade and created after them. So a revision may alter any
table below them, and their text stands in one place. A change to a view alone needs a revision too, an
empty one, so that an upgrade applies it. storage/README.md explains the columns and has queries to copy.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Double, Integer, Text, column, table

from storage import schema
from storage.column_types import UtcDateTime

_HISTORY = """
SELECT i.inspection_id, i.site, i.line, i.camera, i.frame_id, i.sent_frame_id, i.part_id, i.sequence, i.sku,
       i.verdict, i.reason, i.score, i.threshold, i.threshold_source, i.calibration_samples,
       i.calibrated, i.shadow, i.late,
       i.recipe_id, i.recipe_version, i.method, i.prompt_source, i.shots, i.model_digest,
       (SELECT COUNT(*) FROM defect d WHERE d.inspection_id = i.inspection_id) AS defects,
       {labels} AS defect_labels,
       i.truth, f.given_by AS truth_by, f.note AS truth_note, f.given_at AS truth_at,
       i.captured_at, i.received_at, i.inspected_at,
       i.queue_ms, i.decode_ms, i.infer_ms, i.record_ms,
       i.queue_ms + i.decode_ms + i.infer_ms + i.record_ms AS total_ms,
       i.width, i.height, i.image_path, i.mask_path, i.overlay_path,
       i.agent_id, i.agent_version
FROM inspection i
LEFT JOIN feedback f ON i.truth IS NOT NULL AND f.id = (
    SELECT latest.id FROM feedback latest WHERE latest.inspection_id = i.inspection_id
    ORDER BY latest.given_at DESC, latest.id DESC LIMIT 1
)
"""

_COUNTS = ", ".join(
    f"SUM({name}) AS {name}" for name in ("inspections", "passed", "failed", "review", "errors", "skipped")
)

_YIELD = """
SELECT hour, site, line, camera, sku, shadow,
       {counts},
       CAST(SUM(passed) AS DOUBLE PRECISION) / NULLIF(SUM(passed) + SUM(failed), 0) AS yield
FROM hourly_count
WHERE inspections > 0
GROUP BY hour, site, line, camera, sku, shadow
"""

_QUALITY = """
SELECT {day_of_hour} AS day, site, line, sku, recipe_version,
       {counts},
       SUM(truth_good) + SUM(truth_defective) AS feedback,
       SUM(truth_good) AS truth_good,
       SUM(truth_defective) AS truth_defective,
       SUM(false_alarms) AS false_alarms,
       SUM(escapes) AS escapes,
       CAST(SUM(false_alarms) AS DOUBLE PRECISION) / NULLIF(SUM(truth_good), 0) AS false_alarm_rate,
       CAST(SUM(escapes) AS DOUBLE PRECISION) / NULLIF(SUM(truth_defective), 0) AS escape_rate
FROM hourly_count
WHERE inspections > 0
GROUP BY {day_of_hour}, site, line, sku, recipe_version
"""

_PARETO = """
SELECT day, site, line, sku, label, defects, inspections, rank,
       CAST(defects AS DOUBLE PRECISION) / SUM(defects) OVER whole AS share,
       CAST(SUM(defects) OVER so_far AS DOUBLE PRECISION) / SUM(defects) OVER whole AS cumulative_share
FROM (
    SELECT {day} AS day, i.site, i.line, i.sku, d.label,
           COUNT(*) AS defects,
           COUNT(DISTINCT d.inspection_id) AS inspections,
           ROW_NUMBER() OVER (
               PARTITION BY {day}, i.site, i.line, i.sku ORDER BY COUNT(*) DESC, d.label
           ) AS rank
    FROM defect d
    JOIN inspection i ON i.inspection_id = d.inspection_id
    WHERE {defective}
    GROUP BY {day}, i.site, i.line, i.sku, d.label
) counted
WINDOW whole AS (PARTITION BY day, site, line, sku),
       so_far AS (
           PARTITION BY day, site, line, sku ORDER BY rank ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
       )
"""

_DEFECTS = """
SELECT i.inspection_id, i.site, i.line, i.camera, i.frame_id, i.part_id, i.sku, i.recipe_version,
       i.verdict, i.shadow, i.truth, i.received_at,
       d.defect_index, d.label, d.score,
       d.bbox_x, d.bbox_y, d.bbox_width, d.bbox_height, d.area_px, d.area_fraction,
       i.width AS image_width, i.height AS image_height, i.image_path, i.mask_path, i.overlay_path
FROM defect d
JOIN inspection i ON i.inspection_id = d.inspection_id
"""

_EVENTS = """
SELECT id AS event_id, occurred_at, kind, severity, message, camera, sku, details, agent_id, agent_version
FROM event
"""

VIEWS = {
    "inspection_history": _HISTORY,
    "hourly_yield": _YIELD,
    "sku_quality": _QUALITY,
    "defect_pareto": _PARETO,
    "defects": _DEFECTS,
    "events": _EVENTS,
}

HISTORY = table(
    "inspection_history",
    *(
        column(c.name, c.type)
        for c in schema.inspection.c
        if c.name not in ("content_derived", "content_sha256")
    ),
    column("defects", Integer),
    column("defect_labels", Text),
    column("truth_by", Text),
    column("truth_note", Text),
    column("truth_at", UtcDateTime),
    column("total_ms", Double),
)
"""The view with the types of its columns, for queries in Python."""

_DIALECTS = {
    "sqlite": {
        "labels": (
            "(SELECT group_concat(o.label, ', ') FROM (SELECT d.label FROM defect d"
            " WHERE d.inspection_id = i.inspection_id ORDER BY d.defect_index) o)"
        ),
    },
    "postgresql": {
        "labels": (
            "(SELECT string_agg(d.label, ', ' ORDER BY d.defect_index) FROM defect d"
            " WHERE d.inspection_id = i.inspection_id)"
        ),
    },
}


def view_sql(name: str, dialect: str) -> str:
    """The SELECT behind a view, for ``sqlite`` or ``postgresql``."""
    return (
        VIEWS[name]
        .format(
            day=schema.DAY.by_dialect[dialect],
            day_of_hour=schema.DAY_OF_HOUR.by_dialect[dialect],
            counts=_COUNTS,
            defective=schema.DEFECTIVE,
            **_DIALECTS[dialect],
        )
        .strip()
    )


def create_views(connection: Connection, readers: Sequence[tuple[str, str]] = ()) -> None:
    """Create all views in the caller's transaction, and give ``readers`` their rights."""
    for name in VIEWS:
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {view_sql(name, connection.dialect.name)}")
    quote = connection.dialect.identifier_preparer.quote_identifier
    for name, role in readers:
        if name in VIEWS:
            connection.exec_driver_sql(f"GRANT SELECT ON {name} TO {quote(role) if role else 'PUBLIC'}")


def readers_of_views(connection: Connection) -> list[tuple[str, str]]:
    """View and role of each right to read after an upgrade, on PostgreSQL; an empty role is PUBLIC.

    Dropping a view removes the rights on it, so they are read before. Who may read every view that is there
    may read those that the upgrade adds.
    """
    if connection.dialect.name == "sqlite":
        return []
    query = """
        SELECT c.relname, COALESCE(r.rolname, ''), a.grantee
        FROM pg_class c
        LEFT JOIN LATERAL aclexplode(c.relacl) a ON a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
        LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.relkind = 'v' AND c.relnamespace = current_schema()::regnamespace
        ORDER BY 1, 2
    """
    there: set[str] = set()
    granted: dict[str, set[str]] = {}
    for view, role, grantee in connection.exec_driver_sql(query):
        if view in VIEWS:
            there.add(view)
            if grantee is not None:
                granted.setdefault(role, set()).add(view)
    return [
        (view, role)
        for role, views in granted.items()
        for view in (VIEWS if views == there else sorted(views))
    ]


def drop_views(connection: Connection) -> None:
    """Drop the views that exist, inside the caller's transaction."""
    for name in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
