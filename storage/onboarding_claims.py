"""``SqlOnboardingClaims``: of all agents on one database, one works on a new SKU."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update

from agent.ports.onboarding import OnboardingRecord, OnboardingState
from storage import schema
from storage.database import Database, insert_into

_CLAIMED = OnboardingState.CLAIMED.value


class SqlOnboardingClaims:
    """Claims on the onboarding of SKUs, on SQLite and PostgreSQL.

    A claim is one INSERT that becomes an UPDATE under a condition. The second agent waits for the first
    (the write lock of SQLite, the row lock of PostgreSQL). Then it checks the condition again, on the row
    that the first has left.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, sku: str, agent: str, lease_s: float, now: datetime) -> bool:
        table = schema.onboarding
        taken: dict[str, Any] = {
            "state": _CLAIMED,
            "claimed_by": agent,
            "claimed_until": now + timedelta(seconds=lease_s),
            "next_attempt_at": None,
            "updated_at": now,
        }
        with self._database.write() as connection:
            statement = insert_into(connection, table).values(sku=sku, attempts=1, **taken)
            statement = statement.on_conflict_do_update(
                index_elements=[table.c.sku],
                set_={**taken, "attempts": table.c.attempts + 1},
                where=_is_due(now),
            )
            return connection.execute(statement.returning(table.c.sku)).first() is not None

    def take_back(self, agent: str, now: datetime) -> Sequence[str]:
        columns = schema.onboarding.c
        statement = (
            update(schema.onboarding)
            .where(columns.state == _CLAIMED, columns.claimed_by == agent)
            .values(
                state=OnboardingState.WAITING.value,
                claimed_by=None,
                claimed_until=None,
                next_attempt_at=now,
                updated_at=now,
            )
        )
        with self._database.write() as connection:
            return sorted(connection.execute(statement.returning(columns.sku)).scalars())

    def renew(self, sku: str, agent: str, lease_s: float, now: datetime) -> bool:
        return self._change(sku, agent, claimed_until=now + timedelta(seconds=lease_s), updated_at=now)

    def finish(
        self,
        sku: str,
        agent: str,
        state: OnboardingState,
        now: datetime,
        *,
        reason: str | None = None,
        next_attempt_at: datetime | None = None,
    ) -> bool:
        ended = OnboardingState(state)
        if ended is OnboardingState.CLAIMED:
            raise ValueError("a claim ends as waiting, done or failed")
        if ended is OnboardingState.WAITING and next_attempt_at is None:
            next_attempt_at = now
        return self._change(
            sku,
            agent,
            state=ended.value,
            claimed_by=None,
            claimed_until=None,
            reason=reason,
            next_attempt_at=next_attempt_at,
            updated_at=now,
        )

    def _change(self, sku: str, agent: str, **values: Any) -> bool:
        columns = schema.onboarding.c
        mine = and_(columns.sku == sku, columns.state == _CLAIMED, columns.claimed_by == agent)
        statement = update(schema.onboarding).where(mine).values(**values)
        with self._database.write() as connection:
            return connection.execute(statement.returning(columns.sku)).first() is not None

    def withdraw(self, sku: str, agent: str) -> None:
        columns = schema.onboarding.c
        mine = and_(columns.sku == sku, columns.state == _CLAIMED, columns.claimed_by == agent)
        with self._database.write() as connection:
            connection.execute(delete(schema.onboarding).where(mine))

    def request(self, sku: str, now: datetime, reason: str | None = None) -> None:
        table = schema.onboarding
        asked: dict[str, Any] = {
            "state": OnboardingState.WAITING.value,
            "claimed_by": None,
            "claimed_until": None,
            "next_attempt_at": now,
            "reason": reason,
            "updated_at": now,
        }
        held = and_(table.c.state == _CLAIMED, table.c.claimed_until > now)
        with self._database.write() as connection:
            statement = insert_into(connection, table).values(sku=sku, attempts=0, **asked)
            connection.execute(
                statement.on_conflict_do_update(index_elements=[table.c.sku], set_=asked, where=~held)
            )

    def due(self, now: datetime) -> Sequence[str]:
        columns = schema.onboarding.c
        since = func.coalesce(columns.next_attempt_at, columns.claimed_until)
        query = select(columns.sku).where(_is_due(now)).order_by(since, columns.sku)
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()

    def record(self, sku: str) -> OnboardingRecord | None:
        query = select(schema.onboarding).where(schema.onboarding.c.sku == sku)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else OnboardingRecord(**{**row, "state": OnboardingState(row["state"])})


def _is_due(now: datetime) -> ColumnElement[bool]:
    columns = schema.onboarding.c
    return or_(
        and_(columns.state != _CLAIMED, columns.next_attempt_at <= now),
        and_(columns.state == _CLAIMED, columns.claimed_until <= now),
    )
