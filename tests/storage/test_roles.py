"""The roles that deploy/postgresql makes, on a real server: what each may, and what it may not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors, sql

from storage import Database, SqlHistory, check, upgrade
from storage.views import VIEWS
from tests.fixtures.postgresql import PostgresqlServer
from tests.storage.examples import REVISION, entry

DEPLOY = Path(__file__).parents[2] / "deploy" / "postgresql"
TABLES = ["inspection", "defect", "feedback", "outbox", "event", "recipe", "reference", "sku"]


class House:
    """A database of a test's own with both roles, each with a password."""

    def __init__(self, administrator: str) -> None:
        self.administrator = administrator
        self._passwords = {role: secrets.token_hex(8) for role in ("sightline_agent", "sightline_viewer")}
        self.run("agent.sql")
        self._let_in("sightline_agent")

    def run(self, script: str) -> None:
        with psycopg.connect(self.administrator, autocommit=True) as connection:
            connection.execute((DEPLOY / script).read_text())

    def as_role(self, role: str) -> str:
        """The URL with which a role connects."""
        parts = urlsplit(self.administrator)
        place = f"{role}:{quote(self._passwords[role])}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=place))

    def open_to_viewers(self) -> str:
        self.run("readonly.sql")
        self._let_in("sightline_viewer")
        return self.as_role("sightline_viewer")

    def _let_in(self, role: str) -> None:
        with psycopg.connect(self.administrator, autocommit=True) as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            password = sql.Literal(self._passwords[role])
            connection.execute(statement.format(sql.Identifier(role), password))


@pytest.fixture
def house(postgresql_url: str, postgresql_server: PostgresqlServer) -> Iterator[House]:
    house = House(postgresql_url)
    yield house
    postgresql_server.drop(urlsplit(postgresql_url).path.lstrip("/"))
    with psycopg.connect(postgresql_server.url("postgres"), autocommit=True) as connection:
        for role in ("sightline_agent", "sightline_viewer"):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def agent_url(house: House) -> str:
    """A history that the agent's role has made, with one inspection."""
    url = house.as_role("sightline_agent")
    upgrade(url)
    with Database(url) as database:
        SqlHistory(database, agent_id="a", agent_version="1").record([entry("f-1")])
    return url


def refused(url: str, statement: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")  # anybody may: it is not a lock
        try:
            connection.execute(statement)
        except errors.InsufficientPrivilege:
            return True
        except errors.ObjectNotInPrerequisiteState:  # a view of several tables takes no rows
            return True
    return False


def test_the_agent_makes_and_keeps_its_history_without_any_other_right(agent_url: str) -> None:
    assert check(agent_url) == []
    assert upgrade(agent_url) == REVISION
    for statement in (
        "CREATE ROLE intruder",
        "CREATE DATABASE another",
        "CREATE TABLE public.mine (n int)",
        "SELECT * FROM pg_authid",
        "COPY inspection TO '/tmp/stolen'",
        "COPY inspection TO PROGRAM 'cat'",
        "ALTER ROLE sightline_agent SUPERUSER",
    ):
        assert refused(agent_url, statement), statement


def test_the_viewer_reads_the_views_and_nothing_else(house: House, agent_url: str) -> None:
    url = house.open_to_viewers()
    with psycopg.connect(url) as connection:
        for view in VIEWS:
            connection.execute(f"SELECT * FROM {view}")  # noqa: S608 - our own names
        assert connection.execute("SELECT frame_id FROM inspection_history").fetchall() == [("f-1",)]
        assert connection.execute("SHOW statement_timeout").fetchone() == ("1min",)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
    schema = "sightline_agent"
    statements = [f"SELECT * FROM {schema}.{table}" for table in TABLES]  # noqa: S608 - our own names
    for name in ("inspection", *VIEWS):
        statements += [
            f"INSERT INTO {schema}.{name} SELECT * FROM {schema}.{name}",  # noqa: S608 - our own names
            f"UPDATE {schema}.{name} SET sku = NULL",  # noqa: S608 - our own names
            f"DELETE FROM {schema}.{name}",  # noqa: S608 - our own names
        ]
    statements += [
        f"TRUNCATE {schema}.inspection",
        f"DROP VIEW {schema}.hourly_yield",
        f"CREATE TABLE {schema}.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "SELECT * FROM pg_authid",
        "COPY sightline_agent.inspection_history TO PROGRAM 'cat'",
    ]
    for statement in statements:
        assert refused(url, statement), statement


def test_the_viewer_still_reads_after_an_upgrade(house: House, agent_url: str) -> None:
    url = house.open_to_viewers()
    with psycopg.connect(agent_url) as connection:  # as the views of an older version, a revision behind
        connection.execute("ALTER TABLE outbox DROP sink")  # and with it its index
        connection.execute("ALTER TABLE outbox RENAME destination TO topic")
        connection.execute("CREATE INDEX ix_outbox_pending ON outbox (id) WHERE sent_at IS NULL")
        connection.execute("ALTER TABLE recipe RENAME prompt_selection TO audition")
        # Renamed: the views of this version depend on it, so it cannot be dropped.
        connection.execute("ALTER TABLE inspection RENAME sent_frame_id TO unused")
        connection.execute("DROP INDEX ix_inspection_sent_frame_id")
        connection.execute("ALTER TABLE inspection DROP content_sha256")
        connection.execute("ALTER TABLE calibration DROP label_margin")
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
    assert upgrade(agent_url) == REVISION
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT sequence FROM inspection_history").fetchall() == [(None,)]
    assert refused(url, "SELECT * FROM sightline_agent.inspection")


def test_without_views_the_script_says_what_is_missing(house: House) -> None:
    with pytest.raises(errors.RaiseException, match="start the agent, or run sightline db upgrade"):
        house.run("readonly.sql")


def test_the_scripts_may_be_run_again(house: House, agent_url: str) -> None:
    for _ in range(2):
        house.run("agent.sql")
        house.run("readonly.sql")
    assert check(agent_url) == []
