"""Logging as the configuration asks for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from adapters.cli.logs import OURS, set_up
from config.settings import LoggingSettings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The logging of the test run, as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in OURS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, one in levels.items():
        logging.getLogger(name).setLevel(one)


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings(format="json"))
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("agent.line").exception("it\nfailed")
    logging.getLogger("storage").info("hello %s", "there")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("ERROR", "agent.line", "it\nfailed")
    assert "ValueError: why" in first["exception"]
    assert first["time"].endswith("Z")
    assert second["message"] == "hello there"


def test_other_libraries_speak_from_warnings_up(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings(level="DEBUG"))
    logging.getLogger("sqlalchemy.engine").info("SELECT")
    logging.getLogger("agent").debug("ours")
    said = capsys.readouterr().err
    assert "SELECT" not in said
    assert "ours" in said


def test_setting_up_again_says_things_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings())
    set_up(LoggingSettings())
    logging.getLogger("agent").warning("once")
    assert capsys.readouterr().err.count("once") == 1
