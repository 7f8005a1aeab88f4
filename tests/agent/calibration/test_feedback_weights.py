"""weigh_feedback: how much each judged frame counts as good, with feedback and without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calibration.feedback_weights import WeightedScores, weigh_feedback
from agent.calibration.threshold import CalibrationPolicy
from agent.ports.samples import JudgedScore

POLICY = CalibrationPolicy(0.01)
REVIEW, FAIL = 0.9, 1.0
"""The margin and the threshold of the frames here."""

ANSWERS = {"good": True, "defective": False, None: None}


def frame(score: float, answer: str | None = None, version: int = 1) -> JudgedScore:
    return JudgedScore(score, score <= REVIEW, ANSWERS[answer], version, FAIL)


def passing(number: int, version: int = 1) -> list[JudgedScore]:
    return [frame(0.1 + 0.7 * index / number, version=version) for index in range(number)]


def weight(weighted: WeightedScores, low: float, high: float = math.inf) -> float:
    inside = (weighted.logs > math.log(low)) & (weighted.logs <= math.log(high))
    return float(weighted.weights[inside].sum())


def test_no_frames_have_no_weight() -> None:
    weighted = weigh_feedback([], POLICY)
    assert (weighted.weights.sum(), weighted.frames, weighted.called_good) == (0.0, 0, 0)


def test_if_nothing_was_shown_nothing_is_missing() -> None:
    weighted = weigh_feedback(passing(100), POLICY)
    assert (weighted.weights.sum(), weighted.frames, weighted.called_good) == (100.0, 100, 0)


def test_an_answer_decides_for_its_own_frame() -> None:
    frames = [*passing(100), frame(0.5, "defective"), frame(0.95, "good"), frame(1.5, "defective")]
    weighted = weigh_feedback(frames, POLICY)
    assert weighted.weights.sum() == pytest.approx(101.0)
    assert weight(weighted, REVIEW) == 1.0
    assert (weighted.frames, weighted.called_good) == (101, 1)


def test_passed_frames_do_not_count_if_nobody_answers_what_is_shown() -> None:
    shown = [frame(score) for score in (0.92, 0.95, 1.1, 1.2)]
    assert weigh_feedback([*passing(100), *shown], POLICY).weights.sum() == 0.0


def test_a_few_unanswered_frames_are_held_at_the_threshold() -> None:
    weighted = weigh_feedback([*passing(300), frame(0.95), frame(5.0)], POLICY)
    assert weight(weighted, REVIEW) == pytest.approx(2.0)
    assert weight(weighted, FAIL) == 0.0, "missing answers never raise a threshold"


def test_each_version_counts_by_its_own_answers() -> None:
    unanswered = [*passing(100, version=1), *(frame(1.2, version=1) for _ in range(6))]
    answered = [*passing(50, version=2), frame(1.2, "good", 2), frame(2.0, "defective", 2)]
    assert weigh_feedback([*unanswered, *answered], POLICY).weights.sum() == pytest.approx(51.0)


def test_answers_on_later_frames_count_for_those_that_passed_before() -> None:
    """Defects that passed below a high threshold, and are known since the margin has come down to them."""
    escaped = [JudgedScore(0.97, True, None, 1, 1.3) for _ in range(10)]
    found = [frame(0.96, "defective", 2) for _ in range(20)]
    before = weigh_feedback([*passing(500), *escaped], POLICY)
    after = weigh_feedback([*passing(500), *escaped, *passing(500, 2), *found], POLICY)
    assert weight(before, REVIEW) == 10.0
    assert weight(after, REVIEW) < 1.0


def test_an_uncalibrated_recipe_selects_nothing_and_answers_alone_count() -> None:
    shown = [JudgedScore(0.1 * index, False, True if index < 9 else None, 1, None) for index in range(1, 30)]
    weighted = weigh_feedback([*shown, JudgedScore(9.0, False, False, 1, None)], POLICY)
    assert weighted.weights.sum() == weighted.frames == weighted.called_good == 8


@pytest.mark.parametrize("only", ["good", "defective"])
def test_one_sided_answers_do_not_count_for_unanswered_frames(only: str) -> None:
    good = [frame(1.1, "good" if only == "good" else None) for _ in range(60)]
    bad = [frame(3.0, "defective" if only == "defective" else None) for _ in range(200)]
    assert weigh_feedback([*passing(970), *good, *bad], POLICY).weights.sum() == pytest.approx(0.0, abs=10.0)


def test_most_answers_count_for_the_rest() -> None:
    good = [frame(1.1, "good" if index < 24 else None) for index in range(30)]
    bad = [frame(3.0, "defective" if index < 160 else None) for index in range(200)]
    weighted = weigh_feedback([*passing(970), *good, *bad], POLICY)
    assert weight(weighted, FAIL, 2.0) == pytest.approx(30.0, rel=0.1)
    assert weight(weighted, 2.0) < 2.0
    assert weight(weighted, 0.01, REVIEW) == pytest.approx(970.0)


answers = st.sampled_from(["good", "defective", None])
many = st.lists(st.builds(frame, st.floats(1e-3, 1e3), answers, st.integers(1, 3)), min_size=1, max_size=60)


@pytest.mark.slow
@given(many)
def test_weights_are_shares_of_a_frame(frames: list[JudgedScore]) -> None:
    weighted = weigh_feedback(frames, POLICY)
    assert np.isfinite(weighted.logs).all()
    assert ((weighted.weights >= 0.0) & (weighted.weights <= 1.0)).all()
    assert weighted.weights.sum() <= len(frames) + 1e-9
    assert weighted.called_good <= weighted.frames <= len(frames)


@given(many)
def test_the_order_of_frames_does_not_matter(frames: list[JudgedScore]) -> None:
    mixed = sorted(frames, key=lambda one: (one.score, str(one.good)))
    assert weigh_feedback(frames, POLICY).weights.sum() == pytest.approx(
        weigh_feedback(mixed, POLICY).weights.sum(), abs=1e-6
    )
