"""Image metrics on small cases worked out by hand, ties included, and against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.evaluation.metrics import image_metrics

RANKINGS = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=60)


def test_a_hand_made_ranking_with_a_tie() -> None:
    truth = np.array([True, False, True, False])
    metrics = image_metrics(truth, np.array([0.9, 0.5, 0.5, 0.1]))
    # Pairs: (0.9 beats both) 2, (0.5 ties one, beats one) 1.5; of 4.
    assert metrics.image_auroc == pytest.approx(3.5 / 4)
    # Thresholds 0.9: P 1, R 1/2; 0.5: P 2/3, R 1; so F1 2/3 and 4/5.
    assert metrics.image_f1max == pytest.approx(0.8)
    # Steps: 1/2 * 1 + 1/2 * 2/3. Trapezoid from (0, 1): 1/2 * 1 + 1/2 * (1 + 2/3) / 2.
    assert metrics.image_ap == pytest.approx(5 / 6)
    assert metrics.image_aupr == pytest.approx(0.5 + 5 / 12)
    # No defective one may pass: the threshold is 0.5, which one of two good ones reaches.
    assert metrics.false_alarms_at_2pct_escapes == pytest.approx(0.5)
    # No good one may be rejected: the threshold is above 0.5, one of two defective ones passes.
    assert metrics.escapes_at_2pct_false_alarms == pytest.approx(0.5)
    assert metrics.images == 4


def test_two_percent_are_allowed_exactly() -> None:
    # 50 of each: one may be wrong, two may not.
    truth = np.repeat([True, False], 50)
    scores = np.concatenate((np.full(50, 2.0), np.full(50, 1.0)))
    scores[0], scores[50] = 0.0, 3.0
    metrics = image_metrics(truth, scores)
    assert metrics.false_alarms_at_2pct_escapes == pytest.approx(0.02)
    assert metrics.escapes_at_2pct_false_alarms == pytest.approx(0.02)
    scores[1], scores[51] = 0.5, 2.5
    metrics = image_metrics(truth, scores)
    assert metrics.false_alarms_at_2pct_escapes == pytest.approx(1.0)  # down to 0.5, below all good ones
    assert metrics.escapes_at_2pct_false_alarms == pytest.approx(1.0)  # up to 3, above all defective ones


def test_a_perfect_ranking() -> None:
    metrics = image_metrics(np.array([True, True, False]), np.array([3.0, 2.0, 1.0])).as_dict()
    assert metrics.pop("images") == 3
    assert metrics.pop("false_alarms_at_2pct_escapes") == 0.0
    assert metrics.pop("escapes_at_2pct_false_alarms") == 0.0
    assert set(metrics.values()) == {1.0}


@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_one_class_alone_has_no_ranking(truth: list[bool]) -> None:
    metrics = image_metrics(np.array(truth), np.array([0.1, 0.2])).as_dict()
    assert metrics.pop("images") == 2
    assert set(metrics.values()) == {None}


def test_labels_and_scores_belong_together() -> None:
    with pytest.raises(ValueError, match="2 labels"):
        image_metrics(np.array([True, False]), np.array([0.1]))


@pytest.mark.slow
@given(RANKINGS)
def test_against_plain_definitions(pairs: list[tuple[bool, int]]) -> None:
    bad = [score for defective, score in pairs if defective]
    good = [score for defective, score in pairs if not defective]
    assume(bad and good)
    metrics = image_metrics(np.array([d for d, _ in pairs]), np.array([float(s) for _, s in pairs]))

    wins = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    assert metrics.image_auroc == pytest.approx(wins / (len(bad) * len(good)))
    points = []  # (recall, precision, false alarm rate) at each threshold, the highest first
    for threshold in [*sorted({score for _, score in pairs}, reverse=True)]:
        hits = sum(b >= threshold for b in bad)
        alarms = sum(g >= threshold for g in good)
        points.append((hits / len(bad), hits / (hits + alarms), alarms / len(good)))
    f1 = max(2 * r * p / (r + p) if r + p else 0.0 for r, p, _ in points)
    assert metrics.image_f1max == pytest.approx(f1)
    before, step, trapezoid = (0.0, 1.0), 0.0, 0.0
    for recall, precision, _ in points:
        step += (recall - before[0]) * precision
        trapezoid += (recall - before[0]) * (precision + before[1]) / 2
        before = (recall, precision)
    assert metrics.image_ap == pytest.approx(step)
    assert metrics.image_aupr == pytest.approx(trapezoid)
    everything = [(0.0, 1.0, 0.0), *points]
    assert metrics.false_alarms_at_2pct_escapes == pytest.approx(
        min(alarms for recall, _, alarms in everything if round((1 - recall) * len(bad)) <= 0.02 * len(bad))
    )
    assert metrics.escapes_at_2pct_false_alarms == pytest.approx(
        min(1 - recall for recall, _, alarms in everything if round(alarms * len(good)) <= 0.02 * len(good))
    )
