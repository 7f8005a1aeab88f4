"""An outbox for several sinks, and the stored words that the vocabulary renamed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.column_types import CleanText

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

_PENDING = sa.text("sent_at IS NULL")

_EVENT_KINDS = {
    "line-failed": "pipeline-failed",
    "enrolment-failed": "enrollment-failed",
    "audition": "prompt-selection",
    "audition-failed": "prompt-selection-failed",
}
_ORIGINS = {"enrolment": "enrollment", "audition": "prompt-selection"}


def upgrade() -> None:
    _outbox()
    # Plain SQL: Alembic renames no column on SQLite without copying the table.
    op.execute("ALTER TABLE recipe RENAME COLUMN audition TO prompt_selection")
    for table, column, renamed in (("recipe", "origin", _ORIGINS), ("event", "kind", _EVENT_KINDS)):
        values = sa.table(table, sa.column(column, sa.Text))
        for old, new in renamed.items():
            op.execute(values.update().where(values.c[column] == old).values({column: new}))


def _outbox() -> None:
    # Until now every message went to the broker.
    op.add_column("outbox", sa.Column("sink", CleanText, nullable=False, server_default=sa.text("'mqtt'")))
    op.execute("ALTER TABLE outbox RENAME COLUMN topic TO destination")
    op.drop_index("ix_outbox_pending", table_name="outbox")
    op.create_index(
        "ix_outbox_pending",
        "outbox",
        ["sink", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
