"""DriftDetector: score drift is reported soon, once, in the right direction, and rarely without cause."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.monitors.score_drift import (
    Baseline,
    Direction,
    DriftChange,
    DriftDetector,
    DriftPolicy,
    DriftTracker,
)


def scores(rng: np.random.Generator, count: int, shift: float = 0.0) -> list[float]:
    """Log-normal, as good parts score: usual mean 0.2, deviation 10 %."""
    return np.exp(np.log(0.2) + 0.1 * rng.normal(shift, 1.0, count)).tolist()


def changes(detector: DriftDetector, stream: list[float]) -> list[tuple[int, DriftChange]]:
    observed = ((index, detector.observe(score)) for index, score in enumerate(stream, start=1))
    return [(index, change) for index, change in observed if change is not None]


@pytest.mark.parametrize("samples", [0, 8, 20])
@pytest.mark.parametrize(("shift", "within"), [(3.0, 12), (1.5, 40), (-1.5, 40), (1.0, 120)])
def test_a_shift_is_reported_soon_and_once(samples: int, shift: float, within: int) -> None:
    rng = np.random.default_rng(1)
    baseline = Baseline.of(scores(rng, samples)) if samples else None
    detector = DriftDetector(baseline=baseline)
    assert changes(detector, scores(rng, 300)) == []
    reported = changes(detector, scores(rng, 800, shift))
    assert len(reported) == 1
    index, change = reported[0]
    assert index <= within
    assert change.drifted
    assert change.direction is (Direction.HIGHER if shift > 0 else Direction.LOWER)
    assert detector.drifted is change.direction
    assert change.usual == pytest.approx(0.2, rel=0.1)
    assert (change.now > change.usual) == (shift > 0)
    assert change.frames <= index + 20, "about since when is reported as well"


def test_slow_ageing_is_reported_before_false_alarms_are_many() -> None:
    """The threshold of 1 % lies 2.33 deviations up; at one deviation 9 % of good parts are above it."""
    rng = np.random.default_rng(2)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 20)))
    changes(detector, scores(rng, 500))
    ageing = [scores(rng, 1, frame / 1000)[0] for frame in range(2000)]
    reported = changes(detector, ageing)
    assert reported[0][0] < 1000


def test_after_recovery_drift_is_reported_anew() -> None:
    rng = np.random.default_rng(3)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 20)))
    changes(detector, scores(rng, 300))
    kinds = []
    for shift in (2.0, 0.0, 2.0):
        kinds += [change.drifted for _, change in changes(detector, scores(rng, 300, shift))]
    assert kinds == [True, False, True]


def test_recovery_says_what_the_scores_are_again() -> None:
    rng = np.random.default_rng(4)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 50)))
    changes(detector, scores(rng, 300, 3.0))
    (_, back), *more = changes(detector, scores(rng, 300))
    assert not back.drifted
    assert not more
    assert back.now == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("samples", [0, 8, 20])
def test_without_drift_reports_are_as_rare_as_was_asked(samples: int) -> None:
    policy = DriftPolicy(frames_between_false_reports=2000)
    rng = np.random.default_rng(5)
    reports = frames = 0
    for _ in range(20):
        detector = DriftDetector(policy, Baseline.of(scores(rng, samples)) if samples else None)
        reports += sum(change.drifted for _, change in changes(detector, scores(rng, 2500)))
        frames += 2500
    assert 1000 < frames / max(reports, 1) < 6000


def test_the_limit_is_that_of_published_tables() -> None:
    """Two-sided, k = 0.5, h = 5: a mean run of 465 frames (Montgomery, table 9.3)."""
    assert DriftPolicy(frames_between_false_reports=465).limit == pytest.approx(5.0, abs=0.05)
    assert DriftPolicy(frames_between_false_reports=168).limit == pytest.approx(4.0, abs=0.05)


def test_one_odd_frame_is_not_drift() -> None:
    rng = np.random.default_rng(6)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 20)))
    for _ in range(10):
        assert changes(detector, scores(rng, 60)) == []
        assert detector.observe(50.0) is None


def test_production_unlike_its_calibration_is_reported_at_the_beginning() -> None:
    rng = np.random.default_rng(7)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 20)))
    reported = changes(detector, scores(rng, 200, 3.0))
    assert reported[0][0] < 20
    assert len(reported) == 1


@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=300),
    st.lists(st.floats(1e-6, 1e3), max_size=20),
    st.floats(0.1, 4.0),
)
@settings(max_examples=60)
def test_reports_and_recoveries_alternate_whatever_the_scores(
    stream: list[float], calibrated: list[float], shift: float
) -> None:
    policy = DriftPolicy(shift=shift, frames_between_false_reports=200, minimum_frames=5)
    detector, again = (DriftDetector(policy, Baseline.of(calibrated)) for _ in range(2))
    reported = [change for _, change in changes(detector, stream)]
    assert [change.drifted for change in reported] == [index % 2 == 0 for index in range(len(reported))]
    assert all(math.isfinite(change.now) and math.isfinite(change.usual) for change in reported)
    assert reported == [change for _, change in changes(again, stream)], "the same scores, the same answer"


@given(st.floats(0.01, 100.0), st.integers(0, 1000))
@settings(max_examples=20)
def test_the_scale_of_scores_does_not_matter(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibrated, stream = scores(rng, 20), scores(rng, 100) + scores(rng, 60, 2.0)
    reported = [
        [index for index, _ in changes(DriftDetector(baseline=Baseline.of(ours)), theirs)]
        for ours, theirs in (
            (calibrated, stream),
            ([scale * one for one in calibrated], [scale * one for one in stream]),
        )
    ]
    assert reported[0] == reported[1] != []


def test_where_nothing_passes_any_more_that_alone_is_reported() -> None:
    rng = np.random.default_rng(9)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 20)))
    changes(detector, scores(rng, 100))
    reported = [detector.observe(score, passed=False) for score in scores(rng, 100, 9.0)]
    assert [index for index, change in enumerate(reported, start=1) if change is not None] == [30]
    change = reported[29]
    assert change is not None
    assert change.drifted
    assert change.direction is Direction.HIGHER
    assert change.now > 1.5 * change.usual
    (_, back), *more = changes(detector, scores(rng, 200))
    assert not back.drifted
    assert not more
    assert back.now == pytest.approx(0.2, rel=0.1)


def test_rejects_among_passed_parts_are_not_drift() -> None:
    rng = np.random.default_rng(10)
    detector = DriftDetector(baseline=Baseline.of(scores(rng, 20)))
    for index, score in enumerate(scores(rng, 2000)):
        failed = index % 3 != 0
        assert detector.observe(10.0 * score if failed else score, passed=not failed) is None


def test_equal_scores_are_not_drift_and_a_score_is_a_number() -> None:
    detector = DriftDetector(baseline=Baseline.of([0.2] * 10))
    assert changes(detector, [0.2] * 300) == []
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            detector.observe(bad)


def test_cameras_products_and_versions_are_counted_apart_and_bounded() -> None:
    rng = np.random.default_rng(8)
    monitor = DriftTracker(capacity=4)
    baseline = Baseline.of(scores(rng, 20))
    for score in scores(rng, 60, 4.0):
        monitor.observe("line/top", "A", 1, score, baseline=baseline)
    for score in scores(rng, 60):
        monitor.observe("line/side", "A", 1, score, baseline=baseline)
    assert monitor.drifted("line/top", "A") is Direction.HIGHER
    assert monitor.drifted("line/side", "A") is None
    monitor.observe("line/top", "A", 2, 0.3, baseline=baseline)
    assert monitor.drifted("line/top", "A") is None, "another version begins anew"
    for index in range(10):
        monitor.observe("line/top", f"B{index}", 1, 0.2)
    assert len(monitor) == 4


def test_the_sentence_names_camera_and_product_and_says_what_to_do() -> None:
    change = DriftChange(True, Direction.HIGHER, 14, 0.2, 0.25)
    sentence = change.sentence("plant/line/top", "GEAR-1")
    assert (
        "'GEAR-1' at plant/line/top have drifted: usual for passed parts is 0.2, the last 14 score 0.25"
        in sentence
    )
    assert "check light, lens and fixture" in sentence
    lower = DriftChange(True, Direction.LOWER, 14, 0.2, 0.15).sentence("c", "s")
    assert "defects may be missed" in lower
    assert "usual again" in DriftChange(False, Direction.LOWER, 9, 0.2, 0.2).sentence("c", "s")


def test_policies_that_make_no_sense_are_refused() -> None:
    for wrong in ({"shift": 0.0}, {"frames_between_false_reports": 1.0}, {"minimum_frames": 600}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            DriftPolicy(**wrong)
