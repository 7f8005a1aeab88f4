"""The tables of the inspection history. A revision that was released is never edited."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.column_types import SKU_BYTES, CleanText, Name, RowId, UtcDateTime

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_ACTIVE_VERSION = "fk_sku_sku_active_version_recipe"


def upgrade() -> None:
    _recipes()
    _inspections()
    _messages()


def _recipes() -> None:
    columns: list[sa.Column[Any]] = [
        sa.Column("sku", Name(SKU_BYTES), nullable=False),
        sa.Column("name", CleanText),
        sa.Column("description", CleanText),
        sa.Column("gtin", CleanText),
        sa.Column("lot", CleanText),
        sa.Column("active_version", sa.Integer),
        sa.Column("registered_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    ]
    primary_key = sa.PrimaryKeyConstraint("sku", name="pk_sku")
    # sku and recipe point at each other. SQLite takes a reference to a table that comes later but adds
    # none to a finished table; PostgreSQL the other way round.
    pointer = (["sku", "active_version"], ["sku", "version"])
    on_sqlite = op.get_context().dialect.name == "sqlite"
    if on_sqlite:
        targets = [f"recipe.{column}" for column in pointer[1]]
        foreign_key = sa.ForeignKeyConstraint(pointer[0], targets, name=_ACTIVE_VERSION)
        op.create_table("sku", *columns, primary_key, foreign_key)
    else:
        op.create_table("sku", *columns, primary_key)
    op.create_table(
        "prompt_set",
        sa.Column("id", RowId, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("normal", sa.JSON, nullable=False),
        sa.Column("anomalous", sa.JSON, nullable=False),
        sa.Column("defects", sa.JSON, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("provenance", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prompt_set"),
        sa.UniqueConstraint("identity", name="uq_prompt_set_identity"),
        sa.CheckConstraint("source IN ('template', 'ollama', 'manual')", name=op.f("ck_prompt_set_source")),
    )
    op.create_table(
        "recipe",
        sa.Column("id", RowId, nullable=False),
        sa.Column("sku", Name(SKU_BYTES), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("noun", CleanText, nullable=False),
        sa.Column("method", CleanText, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("prompt_set_id", RowId, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recipe"),
        sa.UniqueConstraint("sku", "version", name="uq_recipe_sku_version"),
        sa.CheckConstraint("version >= 1", name=op.f("ck_recipe_version")),
        sa.ForeignKeyConstraint(["sku"], ["sku.sku"], name="fk_recipe_sku_sku"),
        sa.ForeignKeyConstraint(
            ["prompt_set_id"], ["prompt_set.id"], name="fk_recipe_prompt_set_id_prompt_set"
        ),
    )
    if not on_sqlite:
        op.create_foreign_key(_ACTIVE_VERSION, "sku", "recipe", *pointer)
    op.create_table(
        "reference",
        sa.Column("id", RowId, nullable=False),
        sa.Column("sku", Name(SKU_BYTES), nullable=False),
        sa.Column("recipe_id", RowId),
        sa.Column("position", sa.Integer),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("path", CleanText, nullable=False),
        sa.Column("name", CleanText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reference"),
        sa.UniqueConstraint("recipe_id", "position", name="uq_reference_recipe_id_position"),
        sa.CheckConstraint("(recipe_id IS NULL) = (position IS NULL)", name=op.f("ck_reference_position")),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_reference_recipe_id_recipe"),
    )
    held = sa.text("recipe_id IS NULL")
    op.create_index(
        "ix_reference_held",
        "reference",
        ["sku", "sha256"],
        unique=True,
        sqlite_where=held,
        postgresql_where=held,
    )
    op.create_table(
        "calibration",
        sa.Column("recipe_id", RowId, nullable=False, autoincrement=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("review_below", sa.Double, nullable=False),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("false_alarm_rate", sa.Double, nullable=False),
        sa.Column("source", CleanText, nullable=False),
        sa.Column("map_threshold", sa.Double),
        sa.Column("scorer", CleanText),
        sa.PrimaryKeyConstraint("recipe_id", name="pk_calibration"),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_calibration_recipe_id_recipe"),
    )


def _inspections() -> None:
    op.create_table(
        "inspection",
        sa.Column("inspection_id", Name, nullable=False),
        sa.Column("site", Name, nullable=False),
        sa.Column("line", Name, nullable=False),
        sa.Column("camera", Name, nullable=False),
        sa.Column("frame_id", Name, nullable=False),
        sa.Column("content_derived", sa.Boolean, nullable=False),
        sa.Column("part_id", Name),
        sa.Column("sku", Name(SKU_BYTES)),
        sa.Column("verdict", sa.String(8), nullable=False),
        sa.Column("reason", CleanText, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("threshold_source", CleanText),
        sa.Column("calibration_samples", sa.Integer),
        sa.Column("calibrated", sa.Boolean, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("late", sa.Boolean, nullable=False),
        sa.Column("recipe_id", RowId),
        sa.Column("recipe_version", sa.Integer),
        sa.Column("method", CleanText),
        sa.Column("prompt_source", CleanText),
        sa.Column("shots", sa.Integer),
        sa.Column("model_digest", CleanText),
        sa.Column("queue_ms", sa.Double),
        sa.Column("decode_ms", sa.Double),
        sa.Column("infer_ms", sa.Double),
        sa.Column("record_ms", sa.Double),
        sa.Column("image_path", CleanText),
        sa.Column("mask_path", CleanText),
        sa.Column("overlay_path", CleanText),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("captured_at", UtcDateTime),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("inspected_at", UtcDateTime, nullable=False),
        sa.Column("agent_id", CleanText, nullable=False),
        sa.Column("agent_version", CleanText, nullable=False),
        sa.PrimaryKeyConstraint("inspection_id", name="pk_inspection"),
        sa.UniqueConstraint(
            "site", "line", "camera", "frame_id", name="uq_inspection_site_line_camera_frame_id"
        ),
        sa.CheckConstraint(
            "verdict IN ('PASS', 'FAIL', 'REVIEW', 'ERROR', 'SKIPPED')", name=op.f("ck_inspection_verdict")
        ),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_inspection_recipe_id_recipe"),
    )
    for columns in (
        ["received_at"],
        ["site", "line", "camera", "received_at"],
        ["sku", "received_at"],
        ["frame_id"],
        ["part_id"],
    ):
        op.create_index(f"ix_inspection_{'_'.join(columns)}", "inspection", columns)
    op.create_table(
        "defect",
        sa.Column("inspection_id", Name, nullable=False),
        sa.Column("defect_index", sa.Integer, nullable=False),
        sa.Column("label", CleanText, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("bbox_x", sa.Integer, nullable=False),
        sa.Column("bbox_y", sa.Integer, nullable=False),
        sa.Column("bbox_width", sa.Integer, nullable=False),
        sa.Column("bbox_height", sa.Integer, nullable=False),
        sa.Column("area_px", sa.Integer, nullable=False),
        sa.Column("area_fraction", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("inspection_id", "defect_index", name="pk_defect"),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspection.inspection_id"],
            name="fk_defect_inspection_id_inspection",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "feedback",
        sa.Column("id", RowId, nullable=False),
        sa.Column("inspection_id", Name, nullable=False),
        sa.Column("truth", sa.String(16), nullable=False),
        sa.Column("given_at", UtcDateTime, nullable=False),
        sa.Column("given_by", CleanText),
        sa.Column("note", CleanText),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
        sa.CheckConstraint("truth IN ('good', 'defective')", name=op.f("ck_feedback_truth")),
        sa.ForeignKeyConstraint(
            ["inspection_id"],
            ["inspection.inspection_id"],
            name="fk_feedback_inspection_id_inspection",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_feedback_inspection_id_given_at", "feedback", ["inspection_id", "given_at"])


def _messages() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", RowId, nullable=False),
        sa.Column("agent_id", CleanText, nullable=False),
        sa.Column("inspection_id", Name, nullable=False),
        sa.Column("kind", CleanText, nullable=False),
        sa.Column("topic", CleanText, nullable=False),
        sa.Column("payload", sa.LargeBinary),
        sa.Column("content_type", CleanText, nullable=False),
        sa.Column("retain", sa.Boolean, nullable=False),
        sa.Column("correlation_data", sa.LargeBinary),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("sent_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.CheckConstraint("payload IS NOT NULL OR sent_at IS NOT NULL", name=op.f("ck_outbox_payload")),
        sqlite_autoincrement=True,
    )
    pending = sa.text("sent_at IS NULL")
    op.create_index("ix_outbox_pending", "outbox", ["id"], sqlite_where=pending, postgresql_where=pending)
    op.create_index("ix_outbox_sent_at", "outbox", ["sent_at"])
    op.create_table(
        "event",
        sa.Column("id", RowId, nullable=False),
        sa.Column("kind", CleanText, nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("message", CleanText, nullable=False),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        sa.Column("camera", CleanText),
        sa.Column("sku", CleanText),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("agent_id", CleanText, nullable=False),
        sa.Column("agent_version", CleanText, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.CheckConstraint("severity IN ('info', 'warning', 'error')", name=op.f("ck_event_severity")),
    )
    op.create_index("ix_event_occurred_at", "event", ["occurred_at"])
