"""Parts that the agent's tests share: a model without weights, and the real storage on SQLite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agent.inference.inspector import Inspector
from agent.methods.fade import Fade
from storage import upgrade
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and tests that run beside each other lose by them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "history.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def rooms(tmp_path: Path, migrated_file: Path) -> Iterator[Rooms]:
    """History, outbox, recipe book and media folder, empty; the database has a folder of its own."""
    path = tmp_path / "database" / "history.db"
    path.parent.mkdir()
    shutil.copy(migrated_file, path)
    with Rooms(tmp_path, path) as rooms:
        yield rooms


@pytest.fixture
def inspector() -> Inspector:
    return Inspector(Fade(ColourEncoder(), defaults=PARAMETERS))
