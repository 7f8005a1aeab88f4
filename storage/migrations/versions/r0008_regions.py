"""Regions of a recipe: which parts of its images are inspected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # NULL, as in every recipe until now: the whole image.
    op.add_column("recipe", sa.Column("regions", sa.JSON(none_as_null=True)))
