"""Lines that are stopped after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.pipeline import ingest as intake
from agent.pipeline import outbox_publisher as outbox_drain
from agent.pipeline import pipeline as line
from agent.pipeline import stages as desks
from agent.pipeline import stages as judge
from agent.pipeline import worker as stage
from tests.support.factory import Rooms
from tests.support.plant import Plant


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "STORAGE_RETRY_S", 0.02)
    monkeypatch.setattr(desks, "POLL_S", 0.05)
    monkeypatch.setattr(line, "POLL_S", 0.05)
    monkeypatch.setattr(judge, "POLL_S", 0.05)
    monkeypatch.setattr(intake, "JOB_GRACE_S", 0.2)
    monkeypatch.setattr(outbox_drain, "RETRY_S", 0.05)


@pytest.fixture
def build(rooms: Rooms) -> Iterator[Callable[..., Plant]]:
    """Starts a line with the given parts and options; stops it in the end."""
    plants: list[Plant] = []

    def build(**options: Any) -> Plant:
        plant = Plant(rooms, **options)
        plants.append(plant)
        plant.line.start()
        return plant

    yield build
    for plant in plants:
        if plant.transport.final_status is None:
            plant.line.stop(10.0)


@pytest.fixture
def plant(build: Callable[..., Plant]) -> Plant:
    """A line that runs."""
    return build()
