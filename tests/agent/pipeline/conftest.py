"""Pipelines that are stopped after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.factory import Rooms
from tests.support.plant import Plant


@pytest.fixture
def build(rooms: Rooms) -> Iterator[Callable[..., Plant]]:
    """Starts a pipeline with the given parts and options; stops it in the end."""
    plants: list[Plant] = []

    def build(**options: Any) -> Plant:
        plant = Plant(rooms, **options)
        plants.append(plant)
        plant.pipeline.start()
        return plant

    yield build
    for plant in plants:
        if plant.transport.final_status is None:
            plant.pipeline.stop(10.0)


@pytest.fixture
def plant(build: Callable[..., Plant]) -> Plant:
    """A pipeline that runs."""
    return build()
