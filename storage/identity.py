"""``history_identity`` and ``last_agent``: whose history this is."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import inspect, select

from storage import schema
from storage.database import Database

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def history_identity(database: Database) -> str | None:
    """A name that two agents have in common if and only if they share this history.

    It tells nothing about the database. On SQLite it is of this machine and this file too: a file that was
    copied together with a machine is another history. It changes with each start of the machine. None if the
    database holds no name, as before its schema was upgraded. Raises StorageError.
    """
    with database.read() as connection:
        if not inspect(connection).has_table(schema.identity.name):
            return None
        name = connection.execute(select(schema.identity.c.history)).scalars().first()
    if name is None:
        return None
    parts = [name]
    if database.path is not None:
        file = database.path.stat()
        # Containers on one machine share its kernel, and see a mounted file under the same numbers.
        boot = _BOOT.read_text(encoding="ascii") if _BOOT.is_file() else ""
        parts += [boot, str(file.st_dev), str(file.st_ino)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def last_agent(database: Database) -> str | None:
    """The agent that inspected last, in a history of any version; None if there is none.

    Raises StorageError.
    """
    columns = schema.inspection.c
    query = select(columns.agent_id).order_by(columns.received_at.desc()).limit(1)
    with database.read() as connection:
        if not inspect(connection).has_table(schema.inspection.name):
            return None
        return connection.execute(query).scalars().first()
