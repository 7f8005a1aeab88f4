"""From a score to a verdict and the sentence that explains it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.calibration import Calibration
from agent.domain.verdict import Verdict, decide

STALE = (
    "the recipe is not calibrated for this model and its parameters; a threshold is being set from its "
    "references"
)
CALIBRATION = Calibration(threshold=0.5, review_below=0.4, samples=16, false_alarm_rate=0.01, source="test")


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0.0, Verdict.PASS),
        (0.4, Verdict.PASS),
        (math.nextafter(0.4, 1.0), Verdict.REVIEW),
        (0.5, Verdict.REVIEW),
        (math.nextafter(0.5, 1.0), Verdict.FAIL),
        (7.0, Verdict.FAIL),
    ],
)
def test_the_limits_belong_to_the_better_side(score: float, verdict: Verdict) -> None:
    assert decide(score, CALIBRATION)[0] is verdict


def test_the_reason_names_score_and_threshold() -> None:
    assert decide(0.625, CALIBRATION)[1] == "score 0.625 is above the threshold 0.5"
    assert "inside the margin below the threshold 0.5" in decide(0.45, CALIBRATION)[1]
    assert decide(0.25, CALIBRATION)[1] == "score 0.25 is below the threshold 0.5"


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (0, "the recipe is not calibrated; 8 more good parts are needed"),
        (5, "the recipe is not calibrated; 3 more good parts are needed"),
        (7, "the recipe is not calibrated; 1 more good part is needed"),
        (8, STALE),
        (100, STALE),
    ],
)
def test_without_calibration_the_reason_names_what_is_missing(samples: int, reason: str) -> None:
    assert decide(0.9, None, samples) == (Verdict.REVIEW, reason)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_higher_score_is_never_judged_better(one: float, other: float) -> None:
    order = [Verdict.PASS, Verdict.REVIEW, Verdict.FAIL]
    low, high = sorted((one, other))
    assert order.index(decide(low, CALIBRATION)[0]) <= order.index(decide(high, CALIBRATION)[0])


def test_verdicts_are_written_in_capitals() -> None:
    assert [str(v) for v in Verdict] == ["PASS", "FAIL", "REVIEW", "ERROR", "SKIPPED"]
