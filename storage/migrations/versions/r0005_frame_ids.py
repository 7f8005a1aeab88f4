"""Frames that share an id: what each showed, and the id that the camera sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.column_types import Name

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

_RENAMED = sa.text("sent_frame_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("inspection", sa.Column("sent_frame_id", Name))
    op.add_column("inspection", sa.Column("content_sha256", sa.String(64)))
    op.create_index(
        "ix_inspection_sent_frame_id",
        "inspection",
        ["sent_frame_id"],
        sqlite_where=_RENAMED,
        postgresql_where=_RENAMED,
    )
