"""TimeoutDetector: a silent camera is reported once, and once more when it sends again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.camera_rules import CameraRulebook, CameraRules
from agent.domain.frame import Camera
from agent.monitors.camera_timeout import MOST_CAMERAS, TimeoutDetector, duration_in_words

TOP, SIDE = Camera("plant", "line", "top"), Camera("plant", "line", "side")


def rulebook(default_s: float, named_s: Mapping[Camera, float] | None = None) -> CameraRulebook:
    named = {f"{one.line}/{one.camera}": CameraRules(timeout_s=s) for one, s in (named_s or {}).items()}
    return CameraRulebook(CameraRules(timeout_s=default_s), named)


def test_a_timeout_is_reported_once_and_again_when_it_ends() -> None:
    monitor = TimeoutDetector(rulebook(60.0))
    monitor.check(0.0, listening=True)
    assert monitor.heard(TOP) is None
    assert monitor.check(59.0, listening=True) == []
    (silent,) = monitor.check(61.0, listening=True)
    assert (silent.camera, silent.silent, silent.seconds) == (TOP, True, 61.0)
    assert "has sent no frame for 1 min 1 s" in silent.sentence()
    assert monitor.check(10_000.0, listening=True) == []
    heard = monitor.heard(TOP)
    assert heard is not None
    assert (heard.silent, heard.seconds) == (False, 10_000.0)
    assert "heard again after 2 h 46 min" in heard.sentence()
    assert monitor.heard(TOP) is None
    (again,) = monitor.check(10_100.0, listening=True)
    assert again.silent


def test_time_without_a_connection_is_not_a_timeout() -> None:
    monitor = TimeoutDetector(rulebook(60.0))
    monitor.check(0.0, listening=True)
    monitor.heard(TOP)
    assert monitor.check(50.0, listening=True) == []
    assert monitor.check(5_000.0, listening=False) == []
    assert monitor.check(5_009.0, listening=True) == []
    assert monitor.check(5_011.0, listening=True) != []


def test_expected_cameras_are_missed_from_the_start_and_each_has_its_own_limit() -> None:
    monitor = TimeoutDetector(rulebook(60.0, {TOP: 60.0, SIDE: 0.0}), TOP.site)
    monitor.check(0.0, listening=True)
    (silent,) = monitor.check(60.0, listening=True)
    assert silent.camera == TOP
    assert "since the agent began to listen" in silent.sentence()
    assert monitor.heard(TOP) is not None


def test_invented_cameras_are_bounded() -> None:
    monitor = TimeoutDetector(rulebook(60.0))
    for number in range(MOST_CAMERAS + 10):
        monitor.heard(Camera("plant", "line", f"c{number}"))
    assert monitor.watches(Camera("plant", "line", "c0"))
    assert not monitor.watches(Camera("plant", "line", f"c{MOST_CAMERAS}"))


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.booleans()), max_size=60))
def test_timeouts_begin_and_end_by_turns(steps: list[tuple[float, bool, bool]]) -> None:
    monitor, now, changes = TimeoutDetector(rulebook(50.0)), 0.0, []
    monitor.heard(TOP)
    monitor.check(now, listening=True)
    for seconds, listening, heard in steps:
        now += seconds
        changes += [one.silent for one in monitor.check(now, listening=listening)]
        change = monitor.heard(TOP) if heard else None
        changes += [change.silent] if change is not None else []
    assert changes == [index % 2 == 0 for index in range(len(changes))]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (90, "1 min 30 s"), (659, "10 min"), (27_000, "7 h 30 min")],
)
def test_lengths_of_time_in_words(seconds: float, text: str) -> None:
    assert duration_in_words(seconds) == text
