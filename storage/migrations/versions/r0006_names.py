"""The margin by which the name of a defect must beat the others; NULL in every calibration from before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("calibration", sa.Column("label_margin", sa.Double))
