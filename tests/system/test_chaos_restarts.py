"""Broker and database away and back in one stream. Long form: ``make chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaigns.restarts import restarts
from tests.chaos.databases import Kind
from tests.support.chaos import play

pytestmark = [pytest.mark.slow, pytest.mark.system]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_two_brokers_and_a_database_go_and_come_back(tmp_path: Path, database: Kind) -> None:
    result = play(
        restarts,
        tmp_path,
        database=database,
        frames_=200,
        broker_restarts=2,
        database_faults=1,
        longest_s=2.0,
    )
    assert result.passed, str(result)
    assert result.figures["rows"] == 200
    assert set(result.figures["faults"]) >= {"broker SIGTERM", "broker SIGKILL"}
