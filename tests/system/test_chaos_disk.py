"""A full disk: frames wait, and go on once there is room. Long form: ``make chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaigns.disk import disk
from tests.support.chaos import play

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_a_disk_that_is_full_once(tmp_path: Path) -> None:
    result = play(disk, tmp_path, frames_=300, fills=1)
    assert result.passed, str(result)
    assert result.figures["rows"] == 300
