"""The tables of the history: ``inspection``, ``recipe``, ``outbox`` and others, in SQLAlchemy's terms.

Core tables instead of mapped classes: the classes already exist in :mod:`agent`, and rows are written
once and read flat. People query the views of :mod:`storage.views`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from storage.column_types import SKU_BYTES, CleanText, DialectSql, Name, RowId, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _only(condition: str) -> dict[str, Any]:
    """Options of an index on the rows that fulfil the condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


sku = Table(
    "sku",
    metadata,
    Column("sku", Name(SKU_BYTES), primary_key=True),
    Column("name", CleanText),
    Column("description", CleanText),
    Column("gtin", CleanText),
    Column("lot", CleanText),
    Column("active_version", Integer),
    Column("registered_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # The pointer names an existing version of this very SKU, so at most one is active and none dangles.
    ForeignKeyConstraint(["sku", "active_version"], ["recipe.sku", "recipe.version"], use_alter=True),
)

prompt_set = Table(
    "prompt_set",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("digest", String(64), nullable=False),  # of the words: PromptSet.digest
    Column("identity", String(64), nullable=False),  # of words, source and provenance together
    Column("normal", JSON, nullable=False),
    Column("anomalous", JSON, nullable=False),
    Column("defects", JSON, nullable=False),
    Column("source", String(16), nullable=False),
    Column("provenance", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("identity"),
    CheckConstraint("source IN ('template', 'ollama', 'manual')", name="source"),
)

recipe = Table(
    "recipe",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("sku", Name(SKU_BYTES), ForeignKey("sku.sku"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("noun", CleanText, nullable=False),
    Column("method", CleanText, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("prompt_set_id", RowId, ForeignKey("prompt_set.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # One of agent.domain.recipe.ORIGINS; that list may grow without a migration.
    Column("origin", String(16), nullable=False, server_default=text("'template'")),
    Column("note", CleanText),
    Column("parent_version", Integer),
    Column("prompt_selection", JSON(none_as_null=True)),
    Column("regions", JSON(none_as_null=True)),  # as Regions.record gives them; NULL: the whole image
    Column("margin", Double),  # stands in `prompt_selection` too; here for people who ask in SQL
    UniqueConstraint("sku", "version"),
    CheckConstraint("version >= 1", name="version"),
)

HELD = text("recipe_id IS NULL")

reference = Table(
    "reference",
    metadata,
    Column("id", RowId, primary_key=True),
    # No foreign key: a reference may come in before its SKU is registered, and must not register it:
    # otherwise the SKU would not count as new.
    Column("sku", Name(SKU_BYTES), nullable=False),
    Column("recipe_id", RowId, ForeignKey("recipe.id")),  # NULL: held until a version uses it
    Column("position", Integer),
    Column("sha256", String(64), nullable=False),
    Column("path", Name, nullable=False),
    Column("name", CleanText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("recipe_id", "position"),
    Index(None, "path"),
    CheckConstraint("(recipe_id IS NULL) = (position IS NULL)", name="position"),
    Index("ix_reference_held", "sku", "sha256", unique=True, sqlite_where=HELD, postgresql_where=HELD),
)

calibration = Table(
    "calibration",
    metadata,
    Column("recipe_id", RowId, ForeignKey("recipe.id"), primary_key=True, autoincrement=False),
    Column("threshold", Double, nullable=False),
    Column("review_below", Double, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("false_alarm_rate", Double, nullable=False),
    Column("source", CleanText, nullable=False),
    Column("map_threshold", Double),
    Column("scorer", CleanText),
    Column("log_mean", Double),
    Column("log_deviation", Double),
    Column("label_margin", Double),
)

onboarding = Table(
    "onboarding",
    metadata,
    # No foreign key: a SKU may be claimed before it is registered.
    Column("sku", Name(SKU_BYTES), primary_key=True),
    Column("state", String(8), nullable=False),
    Column("claimed_by", CleanText),
    Column("claimed_until", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime),  # NULL: only after a request
    Column("reason", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("state IN ('waiting', 'claimed', 'done', 'failed')", name="state"),
    CheckConstraint(
        "state <> 'claimed' OR (claimed_by IS NOT NULL AND claimed_until IS NOT NULL)", name="claim"
    ),
)

commission = Table(
    "commission",
    metadata,
    # No foreign key: a person may say it before the first part has come.
    Column("sku", Name(SKU_BYTES), primary_key=True),
    Column("frames", Integer, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    CheckConstraint("frames >= 1", name="frames"),
)

DAY = DialectSql(
    sqlite="(substr(received_at, 1, 10))",  # times are stored as UTC: UtcDateTime
    postgresql="(CAST(received_at AT TIME ZONE 'UTC' AS DATE))",
)
"""The day of an inspection. The view has the very text of the index, or it could not use it."""

MEDIA = ("image_path", "mask_path", "overlay_path")
"""The columns of an inspection that name a file."""

COUNTED = {
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
"""What is counted by hour, and of which inspections."""

COUNTED_BY = (
    "hour", "site", "line", "camera", "shadow",
    "COALESCE(sku, '')", "(sku IS NULL)", "COALESCE(recipe_version, -1)",
)  # fmt: skip
"""One row of ``hourly_count`` each, NULL being a value like others."""

DEFECTIVE = "truth = 'defective' OR (truth IS NULL AND verdict = 'FAIL')"
"""Parts whose defects count: a person said so, or they failed and nobody said anything."""

_DEFECTIVE_READ = ("received_at", "site", "line", "sku", "inspection_id")

UNANSWERED = "verdict IN ('FAIL', 'REVIEW') AND truth IS NULL"
"""Parts that wait for a person. On SQLite a query uses the index only with these very conditions."""

inspection = Table(
    "inspection",
    metadata,
    Column("inspection_id", Name, primary_key=True),
    Column("site", Name, nullable=False),
    Column("line", Name, nullable=False),
    Column("camera", Name, nullable=False),
    Column("frame_id", Name, nullable=False),
    Column("sent_frame_id", Name),  # only if another image of the camera has that id
    Column("content_derived", Boolean, nullable=False),
    Column("content_sha256", String(64)),  # NULL in rows of versions before this column
    Column("part_id", Name),
    Column("sequence", BigInteger),
    Column("sku", Name(SKU_BYTES)),  # no foreign key: a frame may name a SKU that was never registered
    Column("verdict", String(8), nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("score", Double),
    Column("threshold", Double),
    Column("threshold_source", CleanText),
    Column("calibration_samples", Integer),
    Column("calibrated", Boolean, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("recipe_id", RowId, ForeignKey("recipe.id")),
    Column("recipe_version", Integer),
    Column("method", CleanText),
    Column("prompt_source", CleanText),
    Column("shots", Integer),
    Column("model_digest", CleanText),
    Column("queue_ms", Double),
    Column("decode_ms", Double),
    Column("infer_ms", Double),
    Column("record_ms", Double),
    Column("image_path", Name),
    Column("mask_path", Name),
    Column("overlay_path", Name),
    Column("width", Integer),
    Column("height", Integer),
    Column("captured_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False),
    Column("inspected_at", UtcDateTime, nullable=False),
    Column("agent_id", CleanText, nullable=False),
    Column("agent_version", CleanText, nullable=False),
    Column("truth", String(16)),  # of the latest feedback; storage.triggers keeps it so
    UniqueConstraint("site", "line", "camera", "frame_id"),
    CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW', 'ERROR', 'SKIPPED')", name="verdict"),
    Index(None, "received_at"),
    # What people filter a camera or a product by stands in its index, so that only rows that fit are read.
    Index("ix_inspection_camera", "site", "line", "camera", "received_at", "sku", "verdict"),
    Index("ix_inspection_sku", "sku", "received_at", "recipe_version", "verdict", "score"),
    Index(None, "verdict", "received_at"),
    # Holds all that the view reads of them.
    Index("ix_inspection_defective", DAY, *_DEFECTIVE_READ, **_only(DEFECTIVE)),
    Index("ix_inspection_unanswered", "received_at", **_only(UNANSWERED)),
    Index("ix_inspection_judged", "truth", "received_at", "verdict", **_only("truth IS NOT NULL")),
    Index(None, "frame_id"),  # feedback that names a frame and no camera
    Index(None, "sent_frame_id", **_only("sent_frame_id IS NOT NULL")),
    Index(None, "part_id"),
    # Only rows that have them: once images are let go, these indexes shrink with them.
    Index(
        "ix_inspection_media",
        "verdict",
        "received_at",
        "inspection_id",
        **_only(" OR ".join(f"{role} IS NOT NULL" for role in MEDIA)),
    ),
    *(Index(None, role, **_only(f"{role} IS NOT NULL")) for role in MEDIA),
)


DAY_OF_HOUR = DialectSql(sqlite="(substr(hour, 1, 10))", postgresql="(CAST(hour AT TIME ZONE 'UTC' AS DATE))")

hourly_count = Table(
    "hourly_count",
    metadata,
    # Inspections, counted by storage.triggers as they are written, so that yield and quality of any time
    # are sums of a few rows. A version of a SKU in another hour, on another camera, is another row.
    Column("id", RowId, primary_key=True),
    Column("hour", UtcDateTime, nullable=False),
    Column("site", Name, nullable=False),
    Column("line", Name, nullable=False),
    Column("camera", Name, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("sku", Name(SKU_BYTES)),
    Column("recipe_version", Integer),
    *(Column(name, Integer, nullable=False) for name in COUNTED),
    # A UNIQUE constraint would take each NULL for another value.
    Index("ix_hourly_count_group", *(text(one) for one in COUNTED_BY), unique=True),
    Index("ix_hourly_count_day", DAY_OF_HOUR),
)


def _inspection_key() -> ForeignKey:
    return ForeignKey("inspection.inspection_id", ondelete="CASCADE")


defect = Table(
    "defect",
    metadata,
    Column("inspection_id", Name, _inspection_key(), primary_key=True),
    Column("defect_index", Integer, primary_key=True, autoincrement=False),
    Column("label", CleanText, nullable=False),
    Column("score", Double, nullable=False),
    Column("bbox_x", Integer, nullable=False),
    Column("bbox_y", Integer, nullable=False),
    Column("bbox_width", Integer, nullable=False),
    Column("bbox_height", Integer, nullable=False),
    Column("area_px", Integer, nullable=False),
    Column("area_fraction", Double, nullable=False),
    Index(None, "label"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("inspection_id", Name, _inspection_key(), nullable=False),
    Column("truth", String(16), nullable=False),
    Column("given_at", UtcDateTime, nullable=False),
    Column("given_by", CleanText),
    Column("note", CleanText),
    CheckConstraint("truth IN ('good', 'defective')", name="truth"),
    Index(None, "inspection_id", "given_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("agent_id", CleanText, nullable=False),
    Column("inspection_id", Name, nullable=False),  # for tracing; empty: of none. Pruning leaves it
    Column("kind", CleanText, nullable=False),
    Column("sink", CleanText, nullable=False, server_default=text("'mqtt'")),
    Column("destination", CleanText, nullable=False),  # a topic, or the name of a webhook
    Column("payload", LargeBinary),  # dropped once sent: masks would fill the database a second time
    Column("content_type", CleanText, nullable=False),
    Column("retain", Boolean, nullable=False),
    Column("correlation_data", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    CheckConstraint("payload IS NOT NULL OR sent_at IS NOT NULL", name="payload"),
    Index("ix_outbox_pending", "sink", "id", **_only("sent_at IS NULL")),
    Index(None, "sent_at"),
    sqlite_autoincrement=True,  # a number is never given twice, so a late PUBACK marks no other row
)

event = Table(
    "event",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("kind", CleanText, nullable=False),
    Column("severity", String(8), nullable=False),
    Column("message", CleanText, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("camera", CleanText),  # site/line/camera
    Column("sku", CleanText),
    Column("details", JSON, nullable=False),
    Column("agent_id", CleanText, nullable=False),
    Column("agent_version", CleanText, nullable=False),
    CheckConstraint("severity IN ('info', 'warning', 'error')", name="severity"),
    Index(None, "occurred_at"),
)

identity = Table(
    "identity",
    metadata,
    # One row, made with the database: agents compare it to know whether they share a history.
    Column("history", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)
