"""Ten times what the model follows. Long form: ``make chaos``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.chaos.campaigns.overload import overload
from tests.support.chaos import play

pytestmark = [pytest.mark.slow, pytest.mark.system]


@pytest.mark.parametrize("mode", ["wait", "latest"])
def test_ten_times_too_many(tmp_path: Path, mode: Literal["wait", "latest"]) -> None:
    result = play(overload, tmp_path, mode=mode, frames_=600, cost_ms=20.0, growth=0.10)
    assert result.passed, str(result)
    assert result.figures["rows"] == 600
