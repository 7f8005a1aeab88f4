"""How long things are kept, and what the disk keeps free."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent.app.options import keep
from agent.domain.errors import ConfigurationError
from config import Settings, load


def loaded(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "sightline.yaml"
    file.write_text(text)
    return load(file).settings


def test_null_keeps_for_ever(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "media: {keep: {fail: null}}\ndatabase: {keep: {events: null, sent: 1d}}\n")
    kept = keep(settings)
    assert kept.media == {
        "PASS": timedelta(days=7),
        "FAIL": None,
        "REVIEW": timedelta(days=90),
        "ERROR": timedelta(days=30),
    }
    assert (kept.events, kept.sent) == (None, timedelta(days=1))


def test_what_is_kept_by_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "{}\n")
    kept = keep(settings)
    assert (kept.events, kept.sent) == (timedelta(days=365), timedelta(days=7))
    assert (settings.media.reserve, settings.media.ballast) == (10**9, 32 * 10**6)
    assert settings.database.backup_before_upgrade


@pytest.mark.parametrize(
    "text", ["media: {reserve: -1}", "media: {ballast: lots}", "media: {keep: {fail: soon}}"]
)
def test_a_text_that_is_not_a_quantity_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"media\.(reserve|ballast|keep\.fail) "):
        loaded(tmp_path, text)
