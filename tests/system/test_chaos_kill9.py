"""kill -9 at random instants: one row for every frame, every verdict delivered. Long form: ``make chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaigns.kill9 import kill9
from tests.support.chaos import play

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_five_kills_in_a_stream(tmp_path: Path) -> None:
    result = play(kill9, tmp_path, frames_=200, kills=5)
    assert result.passed, str(result)
    assert result.figures["rows"] == 200
    assert result.figures["of them with frames under way"] > 0, "the kills came between the frames"
