"""Which judged frames are good, by what people answered and by their silence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calibration.feedback_weights import WeightedScores, tell
from agent.calibration.threshold import CalibrationPolicy
from agent.ports.samples import JudgedScore

POLICY = CalibrationPolicy(0.01)
REVIEW, FAIL = 0.9, 1.0
"""The margin and the threshold of the frames here."""

WORDS = {"good": True, "defective": False, None: None}


def frame(score: float, word: str | None = None, version: int = 1) -> JudgedScore:
    return JudgedScore(score, score <= REVIEW, WORDS[word], version, FAIL)


def passing(number: int, version: int = 1) -> list[JudgedScore]:
    return [frame(0.1 + 0.7 * index / number, version=version) for index in range(number)]


def weight(told: WeightedScores, low: float, high: float = math.inf) -> float:
    inside = (told.logs > math.log(low)) & (told.logs <= math.log(high))
    return float(told.weights[inside].sum())


def test_no_frames_tell_nothing() -> None:
    told = tell([], POLICY)
    assert (told.weights.sum(), told.judged, told.called_good) == (0.0, 0, 0)


def test_where_nothing_was_shown_nothing_is_missing() -> None:
    told = tell(passing(100), POLICY)
    assert (told.weights.sum(), told.judged, told.called_good) == (100.0, 100, 0)


def test_a_word_decides_for_its_own_frame() -> None:
    frames = [*passing(100), frame(0.5, "defective"), frame(0.95, "good"), frame(1.5, "defective")]
    told = tell(frames, POLICY)
    assert told.weights.sum() == pytest.approx(101.0)
    assert weight(told, REVIEW) == 1.0
    assert (told.judged, told.called_good) == (101, 1)


def test_passed_frames_tell_nothing_where_nobody_answers_what_is_shown() -> None:
    shown = [frame(score) for score in (0.92, 0.95, 1.1, 1.2)]
    assert tell([*passing(100), *shown], POLICY).weights.sum() == 0.0


def test_a_few_silent_frames_are_held_at_the_threshold() -> None:
    told = tell([*passing(300), frame(0.95), frame(5.0)], POLICY)
    assert weight(told, REVIEW) == pytest.approx(2.0)
    assert weight(told, FAIL) == 0.0, "silence never raises a threshold"


def test_each_version_is_told_or_not_by_its_own_answers() -> None:
    silent = [*passing(100, version=1), *(frame(1.2, version=1) for _ in range(6))]
    answered = [*passing(50, version=2), frame(1.2, "good", 2), frame(2.0, "defective", 2)]
    assert tell([*silent, *answered], POLICY).weights.sum() == pytest.approx(51.0)


def test_answers_on_later_frames_speak_for_those_that_passed_before() -> None:
    """Defects that passed below a high threshold, and are known since the margin has come down to them."""
    escaped = [JudgedScore(0.97, True, None, 1, 1.3) for _ in range(10)]
    found = [frame(0.96, "defective", 2) for _ in range(20)]
    before = tell([*passing(500), *escaped], POLICY)
    after = tell([*passing(500), *escaped, *passing(500, 2), *found], POLICY)
    assert weight(before, REVIEW) == 10.0
    assert weight(after, REVIEW) < 1.0


def test_an_uncalibrated_recipe_selects_nothing_and_answers_alone_count() -> None:
    shown = [JudgedScore(0.1 * index, False, True if index < 9 else None, 1, None) for index in range(1, 30)]
    told = tell([*shown, JudgedScore(9.0, False, False, 1, None)], POLICY)
    assert told.weights.sum() == told.judged == told.called_good == 8


@pytest.mark.parametrize("only", ["good", "defective"])
def test_people_who_only_ever_say_one_thing_do_not_speak_for_silent_frames(only: str) -> None:
    good = [frame(1.1, "good" if only == "good" else None) for _ in range(60)]
    bad = [frame(3.0, "defective" if only == "defective" else None) for _ in range(200)]
    assert tell([*passing(970), *good, *bad], POLICY).weights.sum() == pytest.approx(0.0, abs=10.0)


def test_most_answers_speak_for_the_rest() -> None:
    good = [frame(1.1, "good" if index < 24 else None) for index in range(30)]
    bad = [frame(3.0, "defective" if index < 160 else None) for index in range(200)]
    told = tell([*passing(970), *good, *bad], POLICY)
    assert weight(told, FAIL, 2.0) == pytest.approx(30.0, rel=0.1)
    assert weight(told, 2.0) < 2.0
    assert weight(told, 0.01, REVIEW) == pytest.approx(970.0)


words = st.sampled_from(["good", "defective", None])
many = st.lists(st.builds(frame, st.floats(1e-3, 1e3), words, st.integers(1, 3)), min_size=1, max_size=60)


@given(many)
def test_weights_are_shares_of_a_frame(frames: list[JudgedScore]) -> None:
    told = tell(frames, POLICY)
    assert np.isfinite(told.logs).all()
    assert ((told.weights >= 0.0) & (told.weights <= 1.0)).all()
    assert told.weights.sum() <= len(frames) + 1e-9
    assert told.called_good <= told.judged <= len(frames)


@given(many)
def test_the_order_of_frames_does_not_matter(frames: list[JudgedScore]) -> None:
    mixed = sorted(frames, key=lambda one: (one.score, str(one.good)))
    assert tell(frames, POLICY).weights.sum() == pytest.approx(tell(mixed, POLICY).weights.sum(), abs=1e-6)
