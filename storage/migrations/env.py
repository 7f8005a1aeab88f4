"""Run by Alembic. The connection and its transaction belong to :func:`storage.maintenance.upgrade`."""

from __future__ import annotations

from alembic import context

from storage.schema import metadata

if context.is_offline_mode():
    raise SystemExit("migrations run on a database: use `sightline db upgrade`")

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, Alembic only does not assume it
)
context.run_migrations()
