"""Views by day and line, of defects and of events; whose history this is; products to be commissioned."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from storage.column_types import SKU_BYTES, Name, UtcDateTime

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    identity = op.create_table(
        "identity",
        sa.Column("history", sa.String(32), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("history", name="pk_identity"),
    )
    op.bulk_insert(identity, [{"history": uuid4().hex, "created_at": datetime.now(UTC)}])
    op.create_table(
        "commission",
        # No foreign key: a person may say it before the first part has come.
        sa.Column("sku", Name(SKU_BYTES), nullable=False),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("requested_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_commission"),
        sa.CheckConstraint("frames >= 1", name=op.f("ck_commission_frames")),
    )
