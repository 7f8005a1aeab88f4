"""References: copies are found, good parts are not called copies, and outliers are named."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.simulator import Product, Station, draw
from agent.domain.frame import Image
from agent.enrollment.near_duplicates import ImageSimilarity
from agent.enrollment.selection import LEAST_FOR_OUTLIERS, SelectionPolicy, find_duplicates, select, unusual
from tests.support.copies import COPIES

CHECKED = 1_000_000
"""Limits were chosen on seeds below."""


def parts(family: str, count: int, mode: str = "fixed", size: int = 256) -> list[Image]:
    station = Station.fixed(CHECKED) if mode == "fixed" else Station.loose(CHECKED)
    product = Product.create(family, CHECKED)
    return [draw(product, station, CHECKED + number, size=size).image for number in range(count)]


def names(count: int) -> list[str]:
    return [f"{index}.png" for index in range(count)]


# --------------------------------------------------------------------------------------- duplicates


@pytest.mark.parametrize("mode", ["fixed", "loose"])
@pytest.mark.parametrize("family", ["screw", "capsule", "printed_label", "steel_sheet"])
def test_copies_are_duplicates_and_good_parts_are_not(family: str, mode: str) -> None:
    images = parts(family, 8, mode)
    assert find_duplicates(images, names(8)) == ()
    for index, (kind, copy) in enumerate(COPIES.items()):
        found = find_duplicates([*images, copy(images[index])], [*names(8), "copy"])
        assert [(each.index, each.original) for each in found] == [(8, f"{index}.png")], kind


def test_a_burst_of_one_part_leaves_its_first_image_only() -> None:
    image = parts("gear", 1)[0]
    burst = [np.ascontiguousarray(np.roll(image, shift, axis=1)) for shift in (0, 0, 1)]
    others = parts("gear", 6)[1:]
    found = find_duplicates([burst[0], *others[:2], burst[1], *others[2:], burst[2]], names(8))
    assert [(each.index, each.original) for each in found] == [(3, "0.png"), (7, "0.png")]


def test_equal_images_alone_are_duplicates_and_two_parts_are_not() -> None:
    one, other = parts("tablet", 2)
    assert [each.index for each in find_duplicates([one, one.copy(), one.copy()], names(3))] == [1, 2]
    assert find_duplicates([one, other], names(2)) == ()
    assert len(find_duplicates([one, one.copy()], names(2))) == 1
    assert find_duplicates([], []) == ()


def test_among_many_the_copies_are_found_by_their_thumbnails() -> None:
    images = parts("connector", 14)
    offered = [*images, *(COPIES["saved as JPEG again"](image) for image in images[:5])]
    found = find_duplicates(offered, names(19))
    assert [(each.index, each.original) for each in found] == [(14 + i, f"{i}.png") for i in range(5)]


@pytest.mark.slow
@given(st.integers(0, 9), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.floats(0.9, 1.1))
@settings(max_examples=25, deadline=None)
def test_shift_and_light_are_removed(number: int, x: float, y: float, gain: float) -> None:
    image = cv2.GaussianBlur(parts("machined_plate", 10)[number], (0, 0), 1.5)
    matrix = np.array([[1, 0, x], [0, 1, y]])
    moved = cv2.warpAffine(image, matrix, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    lit = np.clip(moved * gain * 0.8 + 0.5, 0, 255).astype(np.uint8)
    similarity = ImageSimilarity([np.asarray(image, np.uint8), lit])
    assert similarity.distance(0, 1) < 4.0


def test_each_image_needs_its_name() -> None:
    with pytest.raises(ValueError, match="1 images need as many names"):
        find_duplicates(parts("gear", 1), [])


# ----------------------------------------------------------------------------------------- outliers


def test_the_odd_one_out_is_named() -> None:
    usual = [0.20, 0.22, 0.19, 0.21, 0.20, 0.23, 0.18, 0.21, 0.20]
    assert unusual([*usual, 0.60]) == [9]
    assert unusual([0.60, *usual, 0.63]) == [0, 10], "two do not hide each other"
    assert unusual([*usual, 0.24]) == []
    assert unusual([*usual, 0.02]) == [], "only high scores are odd"


@given(st.integers(LEAST_FOR_OUTLIERS, 60), st.integers(0, 10_000), st.floats(0.01, 100.0))
@settings(max_examples=60)
def test_few_are_called_unusual_whatever_the_scale(count: int, seed: int, scale: float) -> None:
    scores = np.exp(np.random.default_rng(seed).normal(0.0, 0.3, count))
    found = unusual(scores.tolist())
    assert len(found) <= max(1, count // 4)
    assert found == unusual((scores * scale).tolist())
    if found:
        assert int(np.argmax(scores)) in found


@pytest.mark.slow
def test_of_good_references_about_one_set_in_a_hundred_has_a_false_report() -> None:
    rng = np.random.default_rng(CHECKED)
    for count in (6, 10, 20, 50):
        sets = np.exp(rng.normal(0.0, 0.2, (1500, count)))
        reported = sum(bool(unusual(scores.tolist())) for scores in sets)
        assert 0.004 <= reported / 1500 <= 0.018


def test_equal_scores_and_few_scores_have_no_outlier() -> None:
    assert unusual([0.5] * 20) == []
    assert unusual([0.5, 0.5, 0.5, 0.5, 9.0]) == []
    assert unusual([]) == []


# ---------------------------------------------------------------------------------------- selection


def test_nothing_is_dropped_that_is_not_named() -> None:
    images = parts("gear", 9)
    offered = [*images, images[2].copy()]

    def leave_one_out(indices: Sequence[int]) -> list[float]:
        assert indices == list(range(9))
        return [0.2, 0.21, 0.19, 0.2, 0.9, 0.21, 0.2, 0.19, 0.2]

    chosen = select(offered, names(10), leave_one_out)
    assert chosen.kept == (0, 1, 2, 3, 5, 6, 7, 8)
    assert chosen.scores is None, "the scores were made with the outlier in memory"
    assert [each.name for each in chosen.duplicates] == ["9.png"]
    assert [each.name for each in chosen.outliers] == ["4.png"]
    assert "'9.png' shows the same as '2.png' and was left out" in chosen.sentences[0]
    assert (
        "'4.png' does not look like the others (score 0.9, usual 0.2) and was left out" in chosen.sentences[1]
    )
    named = {each.index for each in chosen.duplicates} | {each.index for each in chosen.outliers}
    assert named | set(chosen.kept) == set(range(10))


def test_by_policy_all_are_kept_and_still_named() -> None:
    images = parts("gear", 9)
    scores = [0.2, 0.21, 0.19, 0.2, 0.9, 0.21, 0.2, 0.19, 0.2, 0.0001]
    policy = SelectionPolicy(drop_duplicates=False, exclude_outliers=False)
    chosen = select([*images, images[2].copy()], names(10), lambda indices: scores, policy)
    assert chosen.kept == tuple(range(10))
    assert chosen.scores == tuple(scores)
    assert len(chosen.sentences) == len(chosen.duplicates) + len(chosen.outliers) >= 1
    assert "was kept" in chosen.sentences[0]


def test_one_reference_needs_no_scores_and_wrong_ones_are_refused() -> None:
    images = parts("gear", 3)

    def never(_: object) -> list[float]:
        raise AssertionError("nothing to compare with")

    assert select(images[:1], names(1), never).kept == (0,)
    for scores in ([0.1, 0.2], [0.1, 0.2, math.nan]):
        wrong = dict.fromkeys([(0, 1, 2)], scores)
        with pytest.raises(ValueError, match="3 references need as many finite scores"):
            select(images, names(3), lambda indices, wrong=wrong: wrong[tuple(indices)])  # type: ignore[misc]


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicate_distance"):
        SelectionPolicy(duplicate_distance=1.0)
    with pytest.raises(ValueError, match="false_report_rate"):
        SelectionPolicy(false_report_rate=0.0)
