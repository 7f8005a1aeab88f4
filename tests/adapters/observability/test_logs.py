"""Logging as the configuration asks for it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from adapters.observability.logs import OURS, set_up
from agent.domain.frame import Camera, FrameIdentity
from agent.telemetry import about
from config.sections.observability import LoggingSettings


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
        logging.getLogger("agent.pipeline").exception("it\nfailed")
    logging.getLogger("storage").info("hello %s", "there")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("ERROR", "agent.pipeline", "it\nfailed")
    assert "ValueError: why" in first["exception"]
    assert first["time"].endswith("Z")
    assert second["message"] == "hello there"


def test_other_libraries_speak_from_warnings_up(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings(level="DEBUG"))
    logging.getLogger("sqlalchemy.engine").info("SELECT")
    logging.getLogger("agent").debug("ours")
    logged = capsys.readouterr().err
    assert "SELECT" not in logged
    assert "ours" in logged


def test_setting_up_again_says_things_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings())
    set_up(LoggingSettings())
    logging.getLogger("agent").warning("once")
    assert capsys.readouterr().err.count("once") == 1


IDENTITY = FrameIdentity(Camera("plant", "l1", "c1"), "f-17", sku="BRK-204")


def test_a_record_about_a_frame_names_its_frame_and_camera(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings(format="json"))
    logging.getLogger("agent").info("FAIL", extra=about(IDENTITY, inspection_id="i-1"))
    entry = json.loads(capsys.readouterr().err)
    assert {name: entry[name] for name in ("camera", "sku", "frame_id", "inspection_id")} == {
        "camera": "plant/l1/c1",
        "sku": "BRK-204",
        "frame_id": "f-17",
        "inspection_id": "i-1",
    }


def test_in_text_the_fields_stand_behind_the_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings())
    logging.getLogger("agent").info("FAIL: a scratch", extra=about(IDENTITY, inspection_id="i-1"))
    logging.getLogger("agent").info("no frame")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("agent: FAIL: a scratch [plant/l1/c1 BRK-204 f-17]")
    assert second.endswith("agent: no frame")


def test_a_name_from_outside_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings())
    forged = FrameIdentity(Camera("plant", "l1", "c1\n2026-01-01 ERROR agent: all is lost"), "f")
    logging.getLogger("agent").info("PASS", extra=about(forged))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_storm_is_logged_in_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(LoggingSettings(format="json"))
    for _ in range(500):
        logging.getLogger("agent").info("ERROR: %s", "unreadable", extra=about(IDENTITY))
    set_up(LoggingSettings(format="json"))
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    left_out = [int(e["message"].split()[0]) for e in entries if "more such line" in e["message"]]
    assert len(entries) < 50
    assert len(entries) - len(left_out) + sum(left_out) == 500
