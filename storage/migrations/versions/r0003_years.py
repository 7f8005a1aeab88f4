"""What a history of years needs: pictures found by age and by name, and the camera's running number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.column_types import Name

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

_ROLES = ("image_path", "mask_path", "overlay_path")
_HAS_MEDIA = sa.text(" OR ".join(f"{role} IS NOT NULL" for role in _ROLES))


def upgrade() -> None:
    op.add_column("inspection", sa.Column("sequence", sa.BigInteger))
    if op.get_context().dialect.name == "postgresql":
        # Ranges of paths must be bytewise, as they are on SQLite. Nothing is rewritten by it.
        for role in _ROLES:
            op.alter_column("inspection", role, type_=Name())
        op.alter_column("reference", "path", type_=Name())
    op.create_index(
        "ix_inspection_media",
        "inspection",
        ["verdict", "received_at", "inspection_id"],
        sqlite_where=_HAS_MEDIA,
        postgresql_where=_HAS_MEDIA,
    )
    for role in _ROLES:
        named = sa.text(f"{role} IS NOT NULL")
        op.create_index(
            f"ix_inspection_{role}", "inspection", [role], sqlite_where=named, postgresql_where=named
        )
    op.create_index("ix_reference_path", "reference", ["path"])
