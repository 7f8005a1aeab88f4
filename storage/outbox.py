"""Messages that wait for the broker's acknowledgement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, func, select, update

from agent.ports import OutboxMessage, StoredMessage
from storage.database import Database
from storage.schema import outbox


class SqlOutbox:
    """:class:`agent.ports.Outbox`: written by :class:`storage.history.SqlHistory`, drained from here.

    Args:
        database: upgraded to the newest schema.
        agent_id: whose messages; agents that share a PostgreSQL each send only their own.
    """

    def __init__(self, database: Database, *, agent_id: str) -> None:
        self._database = database
        self._agent_id = agent_id

    def pending(self, limit: int, excluding: Collection[int] = ()) -> Sequence[StoredMessage]:
        """Up to ``limit`` messages, the oldest first, without those of ``excluding``. Raises StorageError."""
        query = select(outbox).where(self._is_pending()).order_by(outbox.c.id).limit(limit)
        if excluding:
            query = query.where(outbox.c.id.not_in(excluding))
        with self._database.read() as connection:
            return [
                StoredMessage(
                    id=row.id,
                    message=OutboxMessage(
                        kind=row.kind,
                        topic=row.topic,
                        payload=row.payload,
                        content_type=row.content_type,
                        retain=row.retain,
                        correlation_data=row.correlation_data,
                    ),
                )
                for row in connection.execute(query)
            ]

    def mark_sent(self, ids: Sequence[int]) -> None:
        """Note when the messages were acknowledged and drop their payloads. Raises StorageError.

        What was sent and when stays; the payload can be composed again from the inspection, and kept
        masks would double the size of the history.
        """
        if not ids:
            return
        statement = (
            update(outbox)
            .where(self._is_pending(), outbox.c.id.in_(ids))
            .values(sent_at=datetime.now(UTC), payload=None)
        )
        with self._database.write() as connection:
            connection.execute(statement)

    def depth(self) -> int:
        """How many messages wait. Raises StorageError."""
        query = select(func.count()).select_from(outbox).where(self._is_pending())
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def waiting(self) -> tuple[int, datetime | None]:
        """How many messages wait, and when the oldest was written. Raises StorageError."""
        count = select(func.count()).select_from(outbox).where(self._is_pending())
        oldest = select(outbox.c.created_at).where(self._is_pending()).order_by(outbox.c.id).limit(1)
        with self._database.read() as connection:
            return connection.execute(count).scalar_one(), connection.execute(oldest).scalar_one_or_none()

    def _is_pending(self) -> ColumnElement[bool]:
        return and_(outbox.c.sent_at.is_(None), outbox.c.agent_id == self._agent_id)
