"""Some thousand frames: memory and disk as computed. Long form: ``make chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.campaigns.soak import soak
from tests.support.chaos import play

pytestmark = [pytest.mark.slow, pytest.mark.system]


def test_two_thousand_frames(tmp_path: Path) -> None:
    result = play(soak, tmp_path, frames_=2000, growth=0.10, tolerance=0.25)
    assert result.passed, str(result)
    assert result.figures["media bytes"] == result.figures["media bytes computed"]
