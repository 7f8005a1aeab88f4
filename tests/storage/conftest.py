"""Every behaviour of the storage is tested on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import Database, SqlHistory, SqlOnboardingClaims, SqlOutbox, SqlRecipeBook, schema, upgrade
from tests.fixtures.postgresql import PostgresqlServer, postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "history.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_database(postgresql_server: PostgresqlServer) -> str:
    url = postgresql_server.url(postgresql_server.create())
    upgrade(url)
    return url


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database without rows. Tests that change the schema take ``empty_url`` and upgrade it."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "history.db")
        return f"sqlite:///{tmp_path / 'history.db'}"
    url: str = request.getfixturevalue("migrated_database")
    with Database(url) as database, database.write() as connection:  # emptying is faster than a new database
        connection.execute(text(f"TRUNCATE {', '.join(schema.metadata.tables)} RESTART IDENTITY"))
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        yield database


@pytest.fixture
def history(database: Database) -> SqlHistory:
    return SqlHistory(database, agent_id="cell-7", agent_version="1.2.3")


@pytest.fixture
def outbox(database: Database) -> SqlOutbox:
    return SqlOutbox(database, agent_id="cell-7")


@pytest.fixture
def claims(database: Database) -> SqlOnboardingClaims:
    return SqlOnboardingClaims(database)


@pytest.fixture
def book(database: Database) -> SqlRecipeBook:
    return SqlRecipeBook(database)
