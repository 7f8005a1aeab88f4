"""Pixel metrics from histograms: 4 x 4 cases by hand, and against slow and plain definitions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from adapters.evaluation.metrics import BYTE, FINE, PixelHistogram, PixelMetrics, Scale

Maps = list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]


def measured(images: Maps) -> PixelMetrics:
    """The figures of 8-bit maps and their masks."""
    histogram = PixelHistogram(BYTE)
    for levels, truth in images:
        histogram.add(levels, truth)
    metrics = histogram.metrics()
    assert metrics is not None
    return metrics


def plain_pro(images: Maps, limit: float = 0.3) -> float:
    """PRO from its definition: every threshold, every region by flooding, one straight line at a time."""
    regions = [(levels, region) for levels, truth in images for region in flooded(truth)]
    good = [int(value) for levels, truth in images for value in levels[~truth]]
    points = [(0.0, 0.0)]
    for threshold in sorted({int(v) for levels, _ in images for v in levels.flat}, reverse=True):
        overlap = sum(sum(levels[p] >= threshold for p in region) / len(region) for levels, region in regions)
        points.append((sum(value >= threshold for value in good) / len(good), overlap / len(regions)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * ((end - x0) / (x1 - x0)) if x1 > x0 else y1
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def flooded(truth: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Regions of eight neighbours."""
    left = {(int(y), int(x)) for y, x in np.argwhere(truth)}
    found = []
    while left:
        region, edge = [], [left.pop()]
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(region)
    return found


def test_a_hand_made_image() -> None:
    truth = np.zeros((4, 4), dtype=bool)
    truth[0, 0] = truth[1, 1] = True  # one region: they touch at a corner
    truth[3, 3] = True  # another
    levels = np.zeros((4, 4), np.uint8)
    levels[0, 0], levels[1, 1], levels[3, 3] = 9, 5, 5
    levels[0, 3], levels[2, 0] = 7, 5  # two false ones, one of them tied; 11 others at 0
    metrics = measured([(levels, truth)])
    # 9 beats 13; each 5 loses to one, ties with one, beats 11. Of 3 x 13 pairs.
    assert metrics.pixel_auroc == pytest.approx((13 + 2 * 11.5) / 39)
    # Thresholds 9: P 1, R 1/3. 7: P 1/2, R 1/3. 5: P 3/5, R 1.
    assert metrics.pixel_f1max == pytest.approx(2 * 0.6 / 1.6)
    assert metrics.pixel_ap == pytest.approx(1 / 3 + 2 / 3 * 0.6)
    # Overlap: 9: (1/2 + 0) / 2 at 0 false; 7: the same at 1/13; 5: 1 at 2/13; 0: 1 at 1.
    area = 0.25 / 13 + (0.25 + 1) / 2 / 13 + (0.3 - 2 / 13)
    assert metrics.pro == pytest.approx(area / 0.3)
    assert metrics.pro == pytest.approx(plain_pro([(levels, truth)]))


def test_the_limit_cuts_a_step() -> None:
    truth = np.zeros((4, 4), dtype=bool)
    truth[0] = True
    levels = np.where(truth, 1, 0).astype(np.uint8)
    levels[0, :2] = 0
    levels[1, :3] = 1
    # At 1: overlap 1/2 at 3/12 false. At 0: 1 at 1. At 0.3: 1/2 + 1/2 * 0.05 / 0.75.
    edge = 0.5 + 0.5 * 0.05 / 0.75
    assert measured([(levels, truth)]).pro == pytest.approx((0.25 * 0.25 + 0.05 * (0.5 + edge) / 2) / 0.3)


def test_a_constant_map_says_nothing() -> None:
    truth = np.zeros((4, 4), dtype=bool)
    truth[1, 1:3] = True
    metrics = measured([(np.full((4, 4), 7, np.uint8), truth)])
    assert metrics.pixel_auroc == pytest.approx(0.5)
    assert metrics.pixel_ap == pytest.approx(2 / 16)
    assert metrics.pro == pytest.approx(0.15)  # the diagonal


def test_good_images_count_as_false_pixels() -> None:
    truth = np.eye(4, dtype=bool)
    levels = np.where(truth, 9, 0).astype(np.uint8)
    assert measured([(levels, truth)]).pixel_auroc == 1.0
    good = np.full((4, 4), 9, np.uint8)
    with_good = measured([(levels, truth), (good, np.zeros((4, 4), dtype=bool))])
    assert with_good.pixel_auroc == pytest.approx(1 - 0.5 * 16 / 28)


def test_regions_count_alike_whatever_their_size() -> None:
    truth = np.zeros((4, 4), dtype=bool)
    truth[:2] = True  # eight pixels, all missed
    truth[3, 3] = True  # one, found
    levels = np.zeros((4, 4), np.uint8)
    levels[3, 3] = 9
    metrics = measured([(levels, truth)])
    assert metrics.pro == pytest.approx((0.3 * (0.5 + 0.5 + 0.5 * 0.3) / 2) / 0.3)


@pytest.mark.parametrize("value", [True, False])
def test_one_class_alone(value: bool) -> None:
    histogram = PixelHistogram(BYTE)
    histogram.add(np.zeros((4, 4), np.uint8), np.full((4, 4), value))
    assert histogram.metrics() is None
    assert histogram.best_level() is None


def test_map_and_mask_belong_together() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        PixelHistogram().add(np.zeros((4, 4), np.uint16), np.zeros((4, 5), dtype=bool))


IMAGES = st.lists(
    st.tuples(st.lists(st.integers(0, 6), min_size=16, max_size=16), st.integers(0, 2**16 - 1)),
    min_size=1,
    max_size=3,
)


def as_maps(drawn: list[tuple[list[int], int]]) -> Maps:
    """4 x 4 maps and masks; a mask is the bits of a number."""
    return [
        (
            np.array(values, np.uint8).reshape(4, 4),
            np.array([bits >> i & 1 for i in range(16)], dtype=bool).reshape(4, 4),
        )
        for values, bits in drawn
    ]


@given(IMAGES)
def test_against_plain_definitions(drawn: list[tuple[list[int], int]]) -> None:
    images = as_maps(drawn)
    levels = np.concatenate([one.ravel() for one, _ in images])
    truth = np.concatenate([one.ravel() for _, one in images])
    assume(truth.any() and not truth.all())
    metrics = measured(images)
    assert metrics.pixel_auroc == pytest.approx(roc_auc_score(truth, levels))
    assert metrics.pixel_ap == pytest.approx(average_precision_score(truth, levels))
    assert metrics.pro == pytest.approx(plain_pro(images))
    best = 0.0
    for threshold in set(levels.tolist()):
        positive = levels >= threshold
        best = max(best, 2 * (positive & truth).sum() / (positive.sum() + truth.sum()))
    assert metrics.pixel_f1max == pytest.approx(best)


@given(IMAGES)
def test_the_best_level_has_the_highest_f1(drawn: list[tuple[list[int], int]]) -> None:
    images = as_maps(drawn)
    histogram = PixelHistogram(BYTE)
    for one, mask in images:
        histogram.add(one, mask)
    metrics, level = histogram.metrics(), histogram.best_level()
    assume(metrics is not None and level is not None)
    assert metrics is not None
    assert level is not None
    assert histogram.f1_at(np.array([float(level)])) == pytest.approx(metrics.pixel_f1max)
    assert histogram.f1_at(np.linspace(0, BYTE - 1, BYTE)) == pytest.approx(metrics.pixel_f1max)
    assert histogram.f1_at(np.array([255.5])) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_float_maps_stay_within_the_slack(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(64, 64)).astype(np.float32) ** 3  # heavy tails: many share a level
    truth = random.random((64, 64)) < 0.2
    histogram = PixelHistogram()
    histogram.add(Scale(float(values.min()), float(values.max())).levels(values), truth)
    metrics = histogram.metrics()
    assert metrics is not None
    exact = roc_auc_score(truth.ravel(), values.ravel())
    assert abs(metrics.pixel_auroc - exact) <= histogram.auroc_slack + 1e-12
    assert histogram.auroc_slack < 1e-2
    assert metrics.pixel_ap == pytest.approx(average_precision_score(truth.ravel(), values.ravel()), abs=1e-3)


def test_levels_of_a_scale() -> None:
    scale = Scale(-1.0, 3.0)
    values = np.array([[-1.0, 1.0, 3.0]], np.float32)
    levels = scale.levels(values)
    assert levels.tolist() == [[0, (FINE - 1 + 1) // 2, FINE - 1]]
    assert [scale.value(int(level), FINE) for level in levels[0]] == pytest.approx([-1.0, 1.0, 3.0], abs=1e-4)
    assert Scale(2.0, 2.0).levels(values).max() == 0
    byte = np.array([[0, 255]], np.uint8)
    assert scale.levels(byte) is byte
    assert scale.value(7, BYTE) == 7.0
