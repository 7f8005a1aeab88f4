"""Why each recipe version was written, and who onboards which SKU."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.column_types import SKU_BYTES, CleanText, Name, UtcDateTime

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    for column in (
        sa.Column("origin", sa.String(16), nullable=False, server_default=sa.text("'template'")),
        sa.Column("note", CleanText),
        sa.Column("parent_version", sa.Integer),
        sa.Column("audition", sa.JSON),
        sa.Column("margin", sa.Double),
    ):
        op.add_column("recipe", column)
    for column in (sa.Column("log_mean", sa.Double), sa.Column("log_deviation", sa.Double)):
        op.add_column("calibration", column)
    # Until now a version was written by the template or, with references, by an enrolment.
    op.execute(
        "UPDATE recipe SET origin = 'enrolment'"
        " WHERE EXISTS (SELECT 1 FROM reference WHERE reference.recipe_id = recipe.id)"
    )
    op.create_table(
        "onboarding",
        sa.Column("sku", Name(SKU_BYTES), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("claimed_by", CleanText),
        sa.Column("claimed_until", UtcDateTime),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime),
        sa.Column("reason", CleanText),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("sku", name="pk_onboarding"),
        sa.CheckConstraint(
            "state IN ('waiting', 'claimed', 'done', 'failed')", name=op.f("ck_onboarding_state")
        ),
        sa.CheckConstraint(
            "state <> 'claimed' OR (claimed_by IS NOT NULL AND claimed_until IS NOT NULL)",
            name=op.f("ck_onboarding_claim"),
        ),
    )
