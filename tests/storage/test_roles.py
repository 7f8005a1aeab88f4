"""The roles that deploy/postgresql makes, on a real server: what each may, and what it may not."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors, sql

from storage import Database, SqlHistory, SqlRecipeBook, check, inspections, upgrade
from storage.views import VIEWS
from tests.fixtures.postgresql import PostgresqlServer
from tests.storage.examples import REVISION, bolt_recipe, entry

DEPLOY = Path(__file__).parents[2] / "deploy" / "postgresql"
OLD = Path(__file__).parent / "old" / "r0003.postgresql.sql"
OLD_VIEWS = ("inspection_history", "hourly_yield", "sku_quality", "defect_pareto")
PSQL = shutil.which("psql")
TABLES = ["inspection", "defect", "feedback", "outbox", "event", "recipe", "reference", "sku"]


class House:
    """A database of a test's own with both roles, each with a password."""

    def __init__(self, administrator: str, folder: Path) -> None:
        self.administrator = administrator
        self.database = urlsplit(administrator).path.lstrip("/")
        self.folder = folder
        self._passwords = {role: secrets.token_hex(8) for role in ("sightline_agent", "sightline_viewer")}
        self.run("agent.sql")
        self.let_in("sightline_agent")

    def run(self, script: str, views: Sequence[str] | None = None) -> None:
        """Run a script with psql. ``views``: those that its older version granted."""
        file, text = self.folder / script, (DEPLOY / script).read_text()
        if views is not None:
            text = re.sub(r"ARRAY\[[^\]]*\]", f"ARRAY{list(views)}", text)
        file.write_text(text)
        done = self.psql(file)
        assert done.returncode == 0, done.stderr

    def psql(self, script: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a script as the documentation says."""
        command = [str(PSQL), self.administrator, f"--file={DEPLOY / script}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def drop_roles(self, server: PostgresqlServer) -> None:
        """With the database that they own things in."""
        server.drop(self.database)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for role in ("sightline_agent", "sightline_viewer"):
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))

    def has_role(self, role: str) -> bool:
        with psycopg.connect(self.administrator) as connection:
            return bool(connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchall())

    def as_role(self, role: str) -> str:
        """The URL with which a role connects."""
        parts = urlsplit(self.administrator)
        place = f"{role}:{quote(self._passwords[role])}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=place))

    def open_to_viewers(self) -> str:
        self.run("readonly.sql")
        self.let_in("sightline_viewer")
        return self.as_role("sightline_viewer")

    def let_in(self, role: str) -> None:
        with psycopg.connect(self.administrator, autocommit=True) as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            password = sql.Literal(self._passwords[role])
            connection.execute(statement.format(sql.Identifier(role), password))


@pytest.fixture
def house(postgresql_url: str, postgresql_server: PostgresqlServer, tmp_path: Path) -> Iterator[House]:
    if PSQL is None:
        pytest.skip("psql is not installed")
    house = House(postgresql_url, tmp_path)
    yield house
    house.drop_roles(postgresql_server)


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


@pytest.mark.parametrize("revoked", ["", "hourly_yield"])
def test_the_viewer_still_reads_after_an_upgrade(house: House, revoked: str) -> None:
    """Who could read every view reads those that are new, too; who could not gets no more than before."""
    agent_url, views = house.as_role("sightline_agent"), list(OLD_VIEWS)
    with psycopg.connect(agent_url) as connection:
        connection.execute(OLD.read_text().replace("public.", "sightline_agent."))
    house.run("readonly.sql", views=OLD_VIEWS)
    house.let_in("sightline_viewer")
    if revoked:
        views.remove(revoked)
        with psycopg.connect(agent_url) as connection:
            connection.execute(f"REVOKE SELECT ON {revoked} FROM sightline_viewer")  # noqa: S608 - our own names
    assert upgrade(agent_url) == REVISION
    url = house.as_role("sightline_viewer")
    with psycopg.connect(url) as connection:
        for view in views if revoked else VIEWS:
            connection.execute(f"SELECT * FROM {view}")  # noqa: S608 - our own names
    for name in ("inspection", *(set(VIEWS) - set(views) if revoked else ())):
        assert refused(url, f"SELECT * FROM sightline_agent.{name}")  # noqa: S608 - our own names


def test_the_script_stops_at_its_first_error_and_changes_nothing(house: House) -> None:
    """As people run it, with psql: the statements after a failed one must not run."""
    done = house.psql("readonly.sql")
    assert done.returncode != 0
    assert "start the agent, or run sightline db upgrade" in done.stderr
    assert done.stderr.count("ERROR") == 1, "the first error is the only one"
    assert not house.has_role("sightline_viewer")


def test_every_statement_of_the_script_is_undone_if_a_later_one_fails(
    house: House, agent_url: str, tmp_path: Path
) -> None:
    text = (DEPLOY / "readonly.sql").read_text()
    broken = tmp_path / "readonly.sql"
    broken.write_text(text.replace("SET statement_timeout = '60s'", "SET no_such_setting = '60s'"))
    done = house.psql(broken)
    assert done.returncode != 0
    assert done.stderr.count("ERROR") == 1
    assert not house.has_role("sightline_viewer")
    assert house.psql("readonly.sql").returncode == 0
    assert house.has_role("sightline_viewer")


def test_the_scripts_may_be_run_again(house: House, agent_url: str) -> None:
    for _ in range(2):
        house.run("agent.sql")
        house.run("readonly.sql")
    assert check(agent_url) == []


def documented(heading: str) -> list[str]:
    """The commands below a heading of deploy/README.md, as a shell takes them; not those of compose."""
    text = (DEPLOY.parent / "README.md").read_text().partition(f"### {heading}\n")[2]
    text = re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "docker" not in block]


@pytest.mark.slow
def test_the_documented_commands_back_up_and_restore(
    house: House, agent_url: str, postgresql_server: PostgresqlServer
) -> None:
    """Word for word, but for the name of the database; the roles are gone when the restoring begins."""
    house.open_to_viewers()
    place = urlsplit(house.administrator)
    (house.folder / "deploy").symlink_to(DEPLOY.parent)
    environ = {
        "PATH": os.environ["PATH"],
        "PGHOST": str(place.hostname),
        "PGPORT": str(place.port),
        "PGUSER": str(place.username),
        "PGPASSWORD": unquote(str(place.password)),
    }

    def run(commands: str) -> None:
        commands = commands.replace("--dbname=sightline ", f"--dbname={place.path.lstrip('/')} ")
        done = subprocess.run(
            ["/bin/sh", "-ec", commands],
            cwd=house.folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    dump, restore = documented("Back up and restore")
    with Database(agent_url) as database:
        book = SqlRecipeBook(database)
        book.add(bolt_recipe())
        before = [row["frame_id"] for row in inspections(database)]
    run(dump)
    house.drop_roles(postgresql_server)
    try:
        run(restore)
        house.administrator = postgresql_server.url("sightline_restored")
        for role in ("sightline_agent", "sightline_viewer"):
            house.let_in(role)
        restored = house.as_role("sightline_agent")
        assert check(restored) == []
        with Database(restored) as database:
            assert [row["frame_id"] for row in inspections(database)] == before == ["f-1"]
            assert SqlRecipeBook(database).add(bolt_recipe()).version == 2
            history = SqlHistory(database, agent_id="a", agent_version="1")
            assert list(history.record([entry("f-1"), entry("f-2")])) == [False, True]
        with psycopg.connect(house.as_role("sightline_viewer")) as connection:
            assert connection.execute("SELECT COUNT(*) FROM inspection_history").fetchone() == (2,)
        assert refused(house.as_role("sightline_viewer"), "SELECT * FROM sightline_agent.inspection")
    finally:
        postgresql_server.drop("sightline_restored")
