"""Box arithmetic, at equality above all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.methods.boxes import areas, clamp, non_maximum_suppression, select, suppress
from agent.ports import Detections


def test_at_an_overlap_of_exactly_the_threshold_both_boxes_stay() -> None:
    boxes = np.array([[0, 0, 20, 10], [0, 0, 10, 10]], dtype=np.float32)  # 100 of 200: exactly 0.5
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8])).tolist() == [0, 1]
    wider = np.array([[0, 0, 20, 10], [0, 0, 10.01, 10]], dtype=np.float32)
    assert non_maximum_suppression(wider, np.array([0.9, 0.8])).tolist() == [0]


def test_a_suppressed_box_suppresses_nobody() -> None:
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], dtype=np.float32)
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8, 0.7])).tolist() == [0, 2]


def test_of_equal_scores_the_earlier_box_stays() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3, dtype=np.float32)
    assert non_maximum_suppression(boxes, np.array([0.5, 0.5, 0.5])).tolist() == [0]


def test_nothing_and_boxes_without_area() -> None:
    assert non_maximum_suppression(np.zeros((0, 4), np.float32), np.zeros(0)).tolist() == []
    lines = np.array([[5, 5, 5, 9], [5, 5, 5, 9]], dtype=np.float32)
    assert non_maximum_suppression(lines, np.array([0.1, 0.2])).tolist() == [1, 0]
    with pytest.raises(ValueError, match="each needs one"):
        non_maximum_suppression(lines, np.array([0.1]))


def _slow(boxes: list[tuple[int, int, int, int]], scores: list[float], threshold: float) -> list[int]:
    """Greedy suppression by whole pixels, counted one by one."""
    pixels = [{(x, y) for x in range(x0, x1) for y in range(y0, y1)} for x0, y0, x1, y1 in boxes]
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        overlaps = (len(pixels[index] & pixels[k]) / len(pixels[index] | pixels[k]) for k in kept)
        if all(overlap <= threshold for overlap in overlaps):
            kept.append(index)
    return kept


_SIDE = st.tuples(st.integers(0, 6), st.integers(1, 5))
_BOX = st.tuples(_SIDE, _SIDE).map(lambda s: (s[0][0], s[1][0], s[0][0] + s[0][1], s[1][0] + s[1][1]))


@given(
    st.lists(st.tuples(_BOX, st.sampled_from([0.1, 0.2, 0.3])), max_size=12),
    st.sampled_from([0.0, 0.25, 0.5, 0.75]),
)
def test_against_counting_pixels(
    found: list[tuple[tuple[int, int, int, int], float]], threshold: float
) -> None:
    boxes, scores = [box for box, _ in found], [score for _, score in found]
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    assert non_maximum_suppression(array, np.array(scores), threshold).tolist() == _slow(
        boxes, scores, threshold
    )


def test_areas_and_clamping() -> None:
    boxes = np.array([[-5, 2, 5, 30], [50, 50, 60, 60], [8, 8, 2, 2]], dtype=np.float32)
    inside = clamp(boxes, 20, 10)
    assert inside.tolist() == [[0, 2, 5, 10], [20, 10, 20, 10], [8, 8, 2, 2]]
    assert areas(inside).tolist() == [40, 0, 0]


def test_detections_keep_their_phrases() -> None:
    found = Detections(
        boxes=np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], dtype=np.float32),
        scores=np.array([0.9, 0.8, 0.7], dtype=np.float32),
        phrases=("scratch", "dent", "hole"),
    )
    assert suppress(found).phrases == ("scratch", "hole")
    assert select(found, found.scores < 0.85).phrases == ("dent", "hole")
    assert suppress(select(found, np.zeros(3, dtype=bool))).phrases == ()
