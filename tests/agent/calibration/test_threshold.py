"""Thresholds from good parts: the Student prediction bound and its limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.calibration.threshold import USUAL_SKEWNESS, CalibrationPolicy, PredictionBound, calibrate
from agent.domain.calibration import MINIMUM_SAMPLES, Calibration

SCORES = [0.11, 0.12, 0.10, 0.14, 0.13, 0.12, 0.15, 0.11]

finite_scores = st.lists(st.floats(0.0, 1e6), min_size=MINIMUM_SAMPLES, max_size=40)
rates = st.floats(1e-6, 0.49)


def calibration(scores: list[float], rate: float = 0.01, factor: float = 3.0) -> Calibration:
    made = calibrate(scores, CalibrationPolicy(rate, factor), source="test")
    assert made is not None
    return made


@pytest.mark.parametrize("n", [8, 16, 32])
@pytest.mark.parametrize(("rate", "low", "high"), [(0.01, 0.007, 0.016), (0.05, 0.043, 0.063)])
def test_the_realised_false_alarm_rate_is_the_aimed_one(n: int, rate: float, low: float, high: float) -> None:
    """2000 calibrations, each judged on 20 later parts of the same process, whose log scores are skewed."""
    runs, later = 2000, 20
    samples = skewed(20_26 + n, size=(runs, n + later))
    alarms = reviews = 0
    for row in samples:
        made = calibration(row[:n].tolist(), rate)
        alarms += int((row[n:] > made.threshold).sum())
        reviews += int((row[n:] > made.review_below).sum())
    assert low <= alarms / (runs * later) <= high
    assert 2.5 * low <= reviews / (runs * later) <= 2.7 * high


def skewed(seed: int, *, size: tuple[int, int], centre: float = -2.0, deviation: float = 0.4) -> Any:
    """Scores whose logs are a shifted gamma distribution with the skewness of good parts."""
    shape = 4.0 / USUAL_SKEWNESS**2
    drawn = np.random.default_rng(seed).gamma(shape, size=size)
    return np.exp(centre + deviation * (drawn - shape) / math.sqrt(shape))


def test_the_rate_of_a_single_product_needs_parts() -> None:
    """How many of 400 products realise a third to three times of 1 %, from so many good parts each."""
    shares = {}
    for n in (20, 60, 200):
        scores = skewed(7, size=(400, n))
        later = np.sort(skewed(8, size=(1, 20_000))[0])
        thresholds = [calibration(row.tolist()).threshold for row in scores]
        rates = 1.0 - np.searchsorted(later, thresholds) / len(later)
        shares[n] = float(((rates >= 0.003) & (rates <= 0.03)).mean())
    assert 0.5 < shares[20] < 0.75
    assert shares[20] < shares[60] < shares[200]
    assert shares[200] > 0.95


def skewness(logs: list[float]) -> float:
    return PredictionBound.of(np.array(logs)).skewness


def test_skewness_is_the_usual_one_until_parts_show_their_own() -> None:
    assert skewness([1.0, 1.0, 1.0, 1.0]) == USUAL_SKEWNESS
    assert skewness([1.0, 2.0]) == USUAL_SKEWNESS
    drawn = np.random.default_rng(3).gamma(4.0, size=20_000)  # skewness 2 / sqrt(4)
    assert skewness(drawn.tolist()) == pytest.approx(1.0, abs=0.06)
    assert skewness((-drawn).tolist()) == 0.0
    assert USUAL_SKEWNESS < skewness(drawn[:20].tolist()) < 1.0


def test_the_bound_of_plain_numbers() -> None:
    logs = [math.log(score) for score in SCORES]
    mean = sum(logs) / 8
    deviation = math.sqrt(sum((x - mean) ** 2 for x in logs) / 7)
    # Student's t with 7 degrees of freedom and the normal quantiles, from tables: 99 % and 97.5 %.
    made = calibration(SCORES, 0.01, 2.5)
    for found, student, z in ((made.threshold, 2.997952, 2.326348), (made.review_below, 2.364624, 1.959964)):
        quantile = student * math.sqrt(9 / 8) + (z**2 - 1) * skewness(logs) / 6
        assert found == pytest.approx(math.exp(mean + deviation * quantile), rel=1e-5)
    assert (made.samples, made.false_alarm_rate, made.source) == (8, 0.01, "test")


@given(st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=30), st.integers(2, 4))
def test_equal_weights_change_nothing_and_a_weight_of_zero_is_none(logs: list[float], times: int) -> None:
    values = np.array(logs)
    once = PredictionBound.of(values, np.full(len(logs), float(times)))
    assert once.at(0.01) == pytest.approx(PredictionBound.of(values).at(0.01))
    assert once.count == pytest.approx(len(logs))
    none = PredictionBound.of(np.append(values, 1e3), np.append(np.ones(len(logs)), 0.0))
    assert none.at(0.01) == pytest.approx(PredictionBound.of(values).at(0.01))


def test_too_few_good_parts_give_no_threshold() -> None:
    policy = CalibrationPolicy()
    assert calibrate(SCORES[:7], policy, source="") is None
    assert calibrate([], policy, source="") is None
    assert calibrate(SCORES[:7], CalibrationPolicy(minimum_samples=7), source="") is not None
    assert calibrate(SCORES[:1], CalibrationPolicy(minimum_samples=0), source="") is None


@given(finite_scores, rates, rates)
def test_a_lower_rate_never_lowers_the_threshold(scores: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert calibration(scores, low).threshold >= calibration(scores, high).threshold


@given(finite_scores, rates, st.floats(1.0, 20.0))
@settings(max_examples=150)
def test_a_threshold_is_finite_and_above_the_margin(scores: list[float], rate: float, factor: float) -> None:
    made = calibration(scores, rate, factor)
    assert math.isfinite(made.threshold)
    assert 0.0 <= made.review_below <= made.threshold


@given(st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=20), st.floats(0.1, 10.0))
def test_the_threshold_follows_the_unit_of_the_scores(scores: list[float], factor: float) -> None:
    scaled = calibration([score * factor for score in scores])
    assert scaled.threshold == pytest.approx(calibration(scores).threshold * factor, rel=1e-6)


@pytest.mark.slow
@given(finite_scores)
def test_the_order_of_the_parts_does_not_matter(scores: list[float]) -> None:
    assert calibration(sorted(scores)).threshold == pytest.approx(calibration(scores).threshold, rel=1e-6)


def test_equal_scores_leave_room_for_rounding_only() -> None:
    made = calibration([0.2] * 8)
    assert made.threshold > 0.2
    assert made.threshold == pytest.approx(0.2, rel=1e-4)


def test_two_samples_and_a_tiny_rate_do_not_overflow() -> None:
    made = calibrate([1e-9, 1e6], CalibrationPolicy(1e-9, minimum_samples=2), source="")
    assert made is not None
    assert math.isfinite(made.threshold)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        calibrate([*SCORES, bad], CalibrationPolicy(), source="")


@pytest.mark.parametrize("rate", [0.0, -0.1, 0.5, 1.0, math.nan])
def test_a_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="false_alarm_rate"):
        CalibrationPolicy(rate)


def test_a_margin_above_the_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="review_factor"):
        CalibrationPolicy(review_factor=0.5)
    with pytest.raises(ValueError, match="margin"):
        Calibration(0.5, 0.6, 8, 0.01, "")
    with pytest.raises(ValueError, match="finite"):
        Calibration(math.nan, 0.1, 8, 0.01, "")


@pytest.mark.parametrize("name", ["false_alarm_rate", "map_threshold", "log_mean", "log_deviation"])
def test_no_number_of_a_calibration_is_anything_but_finite(name: str) -> None:
    changed: dict[str, Any] = {name: math.nan}
    with pytest.raises(ValueError, match="finite"):
        replace(calibration(SCORES), **changed)
