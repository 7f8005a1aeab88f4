"""Whole-agent tests: the real command, a real mosquitto, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage import Database
from tests.system.process import COMMAND, AgentProcess, write_config

StartAgent = Callable[..., AgentProcess]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both databases that the history runs on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """SQLite alone, where the database is not what is tested."""
    return f"sqlite:///{tmp_path / 'history.db'}"


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[StartAgent]:
    """Start agents as processes: ``start_agent(broker_url, database_url, inspection={...})``."""
    if not COMMAND.is_file():
        pytest.skip(f"{COMMAND} is not installed; install the project into this environment")
    started: list[AgentProcess] = []

    def start(broker_url: str, database_url: str, **sections: dict[str, Any]) -> AgentProcess:
        agent = AgentProcess(write_config(tmp_path, broker_url, database_url, **sections))
        started.append(agent)
        return agent.start()

    yield start
    for agent in started:
        agent.kill()


def rows(database_url: str, sql: str) -> list[dict[str, Any]]:
    """What the history answers."""
    with Database(database_url) as database, database.read() as connection:
        return [dict(row) for row in connection.exec_driver_sql(sql).mappings()]
