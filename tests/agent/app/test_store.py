"""What an agent does with its history before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.app.store import DatabaseTools
from agent.domain.errors import DiskFullError
from config import Settings, load
from storage import LocalDisks
from tests.fixtures.small_disk import small_disk
from tests.storage.examples import REVISION
from tests.support.factory import fill_disk

__all__ = ["small_disk"]


@pytest.fixture
def settings(small_disk: Path) -> Settings:
    """A history and a media folder on a small disk."""
    (small_disk / "media").mkdir()
    place = [f"database.url=sqlite:///{small_disk / 'history.db'}", f"media.path={small_disk / 'media'}"]
    return load(overrides=place).settings


def test_an_agent_that_died_on_a_full_disk_starts_again_without_a_person(
    settings: Settings, small_disk: Path
) -> None:
    tools = DatabaseTools(settings)
    tools.prepare()
    disks = LocalDisks(settings.media.path, None, settings.media.ballast)
    assert disks.take_ballast()
    fill_disk(small_disk / "of others")
    assert tools.prepare() == REVISION
    assert disks.ballast > 0, "its ballast made room for a start; the watch takes it again later"


def test_without_ballast_a_full_disk_is_named_and_not_taken_for_damage(
    settings: Settings, small_disk: Path
) -> None:
    tools = DatabaseTools(settings)
    tools.prepare()
    fill_disk(small_disk / "of others")
    with pytest.raises(DiskFullError, match="free space"):
        tools.prepare()
    (small_disk / "of others").unlink()
    assert tools.prepare() == REVISION
