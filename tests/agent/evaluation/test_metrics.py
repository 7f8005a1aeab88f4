"""Metrics on small cases worked out by hand, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from agent.evaluation.metrics import image_metrics, pixel_auroc


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


def test_one_class_alone_has_no_ranking() -> None:
    assert image_metrics(np.array([True, True]), np.array([0.1, 0.2])).image_auroc is None
    assert pixel_auroc(np.zeros(4, dtype=bool), np.arange(4.0)) is None


def test_labels_and_scores_belong_together() -> None:
    with pytest.raises(ValueError, match="2 labels"):
        image_metrics(np.array([True, False]), np.array([0.1]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=40))
def test_the_binned_pixel_auroc_is_exact_where_bins_hold_one_value(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([label for label, _ in pairs])
    scores = np.array([float(score) for _, score in pairs])
    if truth.all() or not truth.any():
        assert pixel_auroc(truth, scores) is None
    else:
        assert pixel_auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))
