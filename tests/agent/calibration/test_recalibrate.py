"""Thresholds from references and production: what they realise, and what must not move them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.calibration.feedback_weights import weigh_feedback
from agent.calibration.recalibrate import GoodScores, describe_sources, good_scores, recalibrate
from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.domain.calibration import Calibration
from agent.ports.samples import JudgedScore

POLICY = CalibrationPolicy(0.01)
ROUND = 250
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def lognormal(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.asarray(np.exp(0.3 * random.standard_normal(n)))


def gamma(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    return random.gamma(4.0, size=n)


def extreme(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.asarray(5.0 + ((-np.log(random.random(n))) ** -0.1 - 1.0) / 0.1)


def two_modes(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.asarray(np.exp(0.25 * (random.standard_normal(n) + 3.0 * (random.random(n) < 0.1))))


def left_mode(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Its log scores are skewed to the left: twenty parts alone give a threshold that is far too high."""
    return np.asarray(np.exp(0.25 * (random.standard_normal(n) - 3.0 * (random.random(n) < 0.3))))


@dataclass
class Factory:
    """A product in production: its good parts and defects, and people who answer."""

    draw: Draw = lognormal
    seed: int = 0
    defects: float = 0.05
    level: tuple[float, float] = (3.5, 2.0)
    """Mean and deviation of defects, in deviations of good log scores above their mean."""
    answers: Callable[[bool], bool] = lambda _good: True
    """Whether people answer a frame that was shown to them, by its truth."""

    def rounds(self, number: int, size: int = ROUND, factor: float = 1.0) -> Iterator[Calibration]:
        """The first calibration, and the one in force after each round of frames.

        As the agent does it, a threshold within its own error stands.
        """
        random = np.random.default_rng(self.seed)
        usual = np.log(self.draw(np.random.default_rng(99), 50_000))
        references = (factor * self.draw(random, 20)).tolist()
        first = calibrate(references, POLICY, source="")
        assert first is not None
        yield first
        in_force, version, frames = first, 1, list[JudgedScore]()
        for _ in range(number):
            good = factor * self.draw(random, size)
            bad = np.exp(usual.mean() + usual.std() * random.normal(*self.level, size)) * factor
            defective = random.random(size) < self.defects
            for score, is_bad in zip(np.where(defective, bad, good), defective, strict=True):
                frames.append(self._judged(float(score), not is_bad, in_force, version))
            made = recalibrate(references, weigh_feedback(frames, POLICY), POLICY, before=in_force)
            if made is not None:
                in_force, version = made, version + 1
            yield in_force

    def _judged(self, score: float, good: bool, in_force: Calibration, version: int) -> JudgedScore:
        passed = score <= in_force.review_below
        truth = good if not passed and self.answers(good) else None
        return JudgedScore(score, passed, truth, version, in_force.threshold)

    def realised(self, calibration: Calibration) -> float:
        """The share of good parts above its threshold."""
        return float((self.draw(np.random.default_rng(99), 50_000) > calibration.threshold).mean())

    def rates(self, number: int, size: int = ROUND) -> list[float]:
        return [self.realised(made) for made in self.rounds(number, size)]


@pytest.mark.parametrize("draw", [lognormal, gamma, extreme, two_modes, left_mode])
@pytest.mark.parametrize("defects", [0.01, 0.2])
def test_five_hundred_answered_frames_realise_the_rate_whatever_the_shape(draw: Draw, defects: float) -> None:
    stages = np.array([Factory(draw, seed, defects).rates(4) for seed in range(10)])
    inside = ((stages >= 0.003) & (stages <= 0.03)).mean(axis=0)
    assert inside[2] >= 0.7, "500 frames"
    assert inside[4] >= 0.9, "1000 frames"
    assert np.median(stages[:, 4]) == pytest.approx(0.01, rel=0.5)


@pytest.mark.parametrize("draw", [lognormal, extreme, two_modes, left_mode])
@pytest.mark.parametrize("defects", [0.0, 0.02, 0.05, 0.2])
def test_twenty_rounds_without_an_answer_do_not_creep(draw: Draw, defects: float) -> None:
    for seed in range(3):
        factory = Factory(draw, seed, defects, answers=lambda _good: False)
        made = list(factory.rounds(20))
        rates = [factory.realised(one) for one in made]
        assert max(rates) <= max(0.03, 1.1 * rates[0]), "down, until good parts fail"
        highest = max(one.threshold for one in made)
        assert highest <= made[0].threshold * 1.15, "up, until defects pass"


@pytest.mark.parametrize("level", [(1.5, 0.5), (2.0, 0.3), (2.5, 0.3)])
def test_defects_right_below_the_threshold_do_not_push_it_up(level: tuple[float, float]) -> None:
    for seed in range(4):
        factory = Factory(seed=seed, defects=0.05, level=level)
        rates = factory.rates(20)
        assert min(rates[8:]) >= 0.003
        assert rates[-1] == pytest.approx(0.01, rel=0.5)


@pytest.mark.parametrize("gap", [0.98, 0.9])
def test_escapes_that_follow_the_margin_do_not_push_it_up(gap: float) -> None:
    """The worst case: one passed frame in twenty is a defect that scores right below the margin, always."""
    for seed in range(4):
        random = np.random.default_rng(seed)
        references, frames = lognormal(random, 20).tolist(), list[JudgedScore]()
        in_force = calibrate(references, POLICY, source="")
        assert in_force is not None
        thresholds = [in_force.threshold]
        for version in range(1, 21):
            scores = lognormal(random, ROUND)
            scores[: ROUND // 20] = in_force.review_below * gap
            for score in scores.tolist():
                passed = score <= in_force.review_below
                frames.append(
                    JudgedScore(score, passed, None if passed else True, version, in_force.threshold)
                )
            in_force = recalibrate(references, weigh_feedback(frames, POLICY), POLICY)
            assert in_force is not None
            thresholds.append(in_force.threshold)
        right = math.exp(0.3 * 2.326)
        assert max(thresholds[4:]) <= max(thresholds[0], right * 1.15)
        assert thresholds[-1] <= thresholds[4] * 1.1


@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize("defects", [0.02, 0.2])
def test_one_sided_answers_do_not_carry_the_threshold_off(only: bool, defects: float) -> None:
    for seed in range(3):
        factory = Factory(seed=seed, defects=defects, answers=lambda good: good is only)
        rates = factory.rates(16)
        assert max(rates) <= max(0.03, 1.1 * rates[0])
        assert min(rates) >= min(0.001, 0.5 * rates[0])


def test_one_confirmed_frame_that_scores_highest_of_all_moves_little() -> None:
    """Which is what people confirm; it used to count as one of twenty-one."""
    references = lognormal(np.random.default_rng(1), 20).tolist()
    passed = [
        JudgedScore(one, True, None, 1, 3.0) for one in lognormal(np.random.default_rng(2), 200).tolist()
    ]
    alone = recalibrate(references, weigh_feedback(passed, POLICY), POLICY)
    outlier = JudgedScore(20.0, False, True, 1, 3.0)
    together = recalibrate(references, weigh_feedback([*passed, outlier], POLICY), POLICY)
    assert alone is not None
    assert together is not None
    assert alone.threshold < together.threshold < 1.5 * alone.threshold


def test_references_alone_give_the_prediction_bound() -> None:
    references = gamma(np.random.default_rng(3), 20).tolist()
    first = calibrate(references, POLICY, source="")
    made = recalibrate(references, weigh_feedback([], POLICY), POLICY)
    assert first is not None
    assert made is not None
    assert made.threshold == pytest.approx(first.threshold, rel=1e-6)
    assert made.review_below == pytest.approx(first.review_below, rel=1e-6)
    assert replace(made, threshold=first.threshold, review_below=first.review_below) == replace(
        first, source="from 20 references and 0 judged frames, 0 of which people called good; "
        "Student prediction bound of log scores, outweighed by the frames' own tail"
    )  # fmt: skip


def test_production_counts_more_than_references_that_score_otherwise() -> None:
    random = np.random.default_rng(4)
    low, frames = (0.5 * lognormal(random, 20)).tolist(), lognormal(random, 600).tolist()
    made = recalibrate(
        low, weigh_feedback([JudgedScore(one, True, None, 1, 9.0) for one in frames], POLICY), POLICY
    )
    assert made is not None
    assert Factory().realised(made) == pytest.approx(0.01, rel=0.7)


def test_frames_alone_are_enough_and_too_few_parts_are_not() -> None:
    frames = [JudgedScore(0.1 * index, False, True, 1, None) for index in range(1, 9)]
    made = recalibrate([], weigh_feedback(frames, POLICY), POLICY)
    assert made is not None
    assert (made.samples, made.source[:30]) == (8, "from 0 references and 8 judged")
    assert recalibrate([], weigh_feedback(frames[:7], POLICY), POLICY) is None
    assert recalibrate([], weigh_feedback([], POLICY), POLICY) is None


def test_a_threshold_stands_within_its_own_error() -> None:
    random = np.random.default_rng(5)
    references = lognormal(random, 20).tolist()
    frames = [JudgedScore(one, True, None, 1, 9.0) for one in lognormal(random, 500).tolist()]
    found = good_scores(references, weigh_feedback(frames, POLICY))
    assert found is not None
    new = found.quantile(0.01)
    assert found.allows(new, 0.01)
    assert not found.allows(1.5 * new, 0.01)
    assert not found.allows(0.7 * new, 0.01)
    before = replace(Calibration(new, new, 20, 0.01, ""), map_threshold=0.5)
    assert recalibrate(references, weigh_feedback(frames, POLICY), POLICY, before=before) is None
    high = replace(before, threshold=1.5 * new)
    renewed = recalibrate(references, weigh_feedback(frames, POLICY), POLICY, before=high)
    assert renewed is not None
    assert (renewed.threshold, renewed.map_threshold) == (new, 0.5)


def test_versions_are_few_once_the_rate_is_right() -> None:
    for seed in range(3):
        made = list(Factory(seed=seed).rounds(40))
        changes = [one.threshold != other.threshold for one, other in pairwise(made)]
        assert sum(changes) <= 8
        assert sum(changes[20:]) <= 2


def test_the_sources_of_a_threshold_in_a_sentence() -> None:
    frames = [JudgedScore(1.0, True, None, 1, 2.0)] * 3 + [JudgedScore(1.9, False, True, 1, 2.0)]
    sentence = describe_sources(20, weigh_feedback(frames, POLICY))
    assert sentence == "from 20 references and 4 judged frames, 1 of which people called good"


scores = st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=30)
judged = st.lists(
    st.builds(
        JudgedScore,
        st.floats(1e-3, 1e3),
        st.booleans(),
        st.sampled_from([True, False, None]),
        st.integers(1, 2),
        st.floats(1e-3, 1e3),
    ),
    max_size=60,
)


def estimate(references: list[float], frames: list[JudgedScore]) -> GoodScores:
    found = good_scores(references, weigh_feedback(frames, POLICY))
    assert found is not None
    return found


@given(scores, judged, st.floats(1e-6, 0.49), st.floats(1e-6, 0.49))
@settings(max_examples=200, deadline=None)
def test_a_lower_rate_never_lowers_the_threshold(
    references: list[float], frames: list[JudgedScore], one: float, other: float
) -> None:
    found, (low, high) = estimate(references, frames), sorted((one, other))
    assert found.quantile(low) >= found.quantile(high) * (1.0 - 1e-9)


@given(scores, judged, st.floats(1e-6, 0.16))
@settings(deadline=None)
def test_a_threshold_is_finite_and_above_its_margin(
    references: list[float], frames: list[JudgedScore], rate: float
) -> None:
    policy = CalibrationPolicy(rate)
    made = recalibrate(references, weigh_feedback(frames, policy), policy)
    assert made is not None
    assert math.isfinite(made.threshold)
    assert 0.0 < made.review_below <= made.threshold


@given(scores, judged, st.floats(0.1, 10.0))
@settings(deadline=None)
def test_the_threshold_follows_the_unit_of_the_scores(
    references: list[float], frames: list[JudgedScore], factor: float
) -> None:
    scaled = [
        replace(one, score=one.score * factor, threshold=(one.threshold or 0.0) * factor) for one in frames
    ]
    one, other = estimate(references, frames), estimate([factor * each for each in references], scaled)
    assert other.quantile(0.01) == pytest.approx(factor * one.quantile(0.01), rel=1e-5)
