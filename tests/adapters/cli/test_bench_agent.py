"""``bench --agent`` where something is missing; tests/system runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.cli.bench.plant import Broker
from agent.domain.errors import ConfigurationError
from tests.adapters.cli.conftest import CommandLine


def test_without_mosquitto_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="sudo apt install mosquitto"):
        Broker(tmp_path, "no-such-broker")


def test_a_folder_without_photographs_is_an_error(sightline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shown = sightline("bench", "--agent", "--method", "null", "--photographs", "empty", code=1)
    assert "no JPEG file" in shown.stderr
