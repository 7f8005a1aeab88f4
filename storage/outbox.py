"""SqlOutbox: messages that wait for the acknowledgement of their receivers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, func, select, update

from agent.ports import OutboxMessage, StoredMessage
from storage.database import Database
from storage.schema import outbox

_MESSAGES = select(
    outbox.c.id,
    *(outbox.c[field.name] for field in fields(OutboxMessage)),
).order_by(outbox.c.id)


class SqlOutbox:
    """The outbox that :class:`storage.history.SqlHistory` writes and the publishers read.

    Args:
        database: upgraded to the newest schema.
        agent_id: the owner of the messages; agents that share a PostgreSQL each send only their own.
    """

    def __init__(self, database: Database, *, agent_id: str) -> None:
        self._database = database
        self._agent_id = agent_id

    def pending(
        self, limit: int, excluding: Collection[int] = (), *, sink: str | None = None
    ) -> Sequence[StoredMessage]:
        """Up to ``limit`` messages, the oldest first, without those of ``excluding``. Raises StorageError."""
        query = _MESSAGES.where(self._is_pending(sink)).limit(limit)
        if excluding:
            query = query.where(outbox.c.id.not_in(excluding))
        with self._database.read() as connection:
            return [StoredMessage(id, OutboxMessage(*message)) for id, *message in connection.execute(query)]

    def mark_sent(self, ids: Sequence[int]) -> None:
        """Record when the messages were acknowledged and drop their payloads. Raises StorageError.

        The row stays. The payload can be composed again from the inspection, and kept masks would double the
        size of the history.
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

    def depth(self, *, sink: str | None = None) -> int:
        """How many messages wait. Raises StorageError."""
        query = select(func.count()).select_from(outbox).where(self._is_pending(sink))
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def of_others(self) -> Mapping[str, int]:
        """How many messages wait for each other agent on this database. Raises StorageError."""
        owner = outbox.c.agent_id
        query = (
            select(owner, func.count())
            .where(outbox.c.sent_at.is_(None), owner != self._agent_id)
            .group_by(owner)
        )
        with self._database.read() as connection:
            return {str(agent): count for agent, count in connection.execute(query)}

    def backlog(self) -> Mapping[str, tuple[int, datetime]]:
        """For each sink with waiting messages: how many, and when the oldest was written.

        Raises StorageError.
        """
        # The oldest is found by its number: its time is stored behind the payloads, which are not read.
        oldest = (
            select(outbox.c.sink, func.count().label("waiting"), func.min(outbox.c.id).label("oldest"))
            .where(self._is_pending())
            .group_by(outbox.c.sink)
            .subquery()
        )
        query = select(oldest.c.sink, oldest.c.waiting, outbox.c.created_at).join(
            outbox, outbox.c.id == oldest.c.oldest
        )
        with self._database.read() as connection:
            return {row.sink: (row.waiting, row.created_at) for row in connection.execute(query)}

    def _is_pending(self, sink: str | None = None) -> ColumnElement[bool]:
        pending = and_(outbox.c.sent_at.is_(None), outbox.c.agent_id == self._agent_id)
        return pending if sink is None else and_(outbox.c.sink == sink, pending)
