"""Alerts beside failed parts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent.app.options import camera_rules, monitor_options
from agent.domain.errors import ConfigurationError
from agent.domain.frame import Camera
from agent.monitors.sequence_gaps import NumberSource
from config import load

TOP, SIDE = Camera("factory", "line-1", "top"), Camera("factory", "line-1", "side")


def test_defaults() -> None:
    settings = load(environ={}).settings
    rules, options = camera_rules(settings), monitor_options(settings)
    assert rules.of(TOP).timeout_s == 600
    assert rules.cameras("factory") == ()
    assert options.gaps.source is NumberSource.FIELD
    assert (options.gaps.policy.patience_s, options.gaps.policy.pause_s) == (10, 60)
    assert options.bursts is not None
    assert (options.bursts.fails, options.bursts.of) == (5, 10)


def test_a_camera_may_pause_while_others_may_not() -> None:
    settings = load(
        overrides=["alerts.silent_after=1m", "cameras.line-1/top.silent_after=0"], environ={}
    ).settings
    rules = camera_rules(settings)
    assert (rules.of(TOP).timeout_s, rules.of(SIDE).timeout_s) == (0, 60)
    assert rules.cameras("factory") == (TOP,)
    assert settings.silent_after("line-1", "side") == timedelta(minutes=1)


def test_alarms_may_be_switched_off() -> None:
    settings = load(overrides=["alerts.burst.enabled=false", "alerts.sequence=off"], environ={}).settings
    options = monitor_options(settings)
    assert options.bursts is None
    assert options.gaps.source is NumberSource.OFF


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("alerts.burst.fails=11", "fails should not exceed of"),
        ("alerts.sequence=digits", "frame_id"),
        ("alerts.silent_after=soon", "duration"),
    ],
)
def test_what_makes_no_sense_is_refused(given: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        load(overrides=[given], environ={})


def test_an_unquoted_off_in_a_file_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "sightline.yaml").write_text("alerts: {sequence: off}\n")
    assert load(tmp_path / "sightline.yaml", environ={}).settings.alerts.sequence == "off"
