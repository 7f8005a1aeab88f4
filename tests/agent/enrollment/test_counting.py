"""Which references' scores set a threshold: not that of the first of a new variant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calibration.threshold import CalibrationPolicy
from agent.enrollment.counting import counting
from agent.enrollment.selection import SelectionPolicy, select
from tests.support.images import part

POLICY, SELECTION = CalibrationPolicy(), SelectionPolicy()
USUAL = [0.10, 0.11, 0.12, 0.10, 0.13, 0.11, 0.12, 0.10, 0.11]


def test_a_single_variant_does_not_raise_the_threshold() -> None:
    scores = [*USUAL, 0.9]
    assert counting(scores, [9], POLICY, SELECTION) == list(range(9))
    assert counting(scores, [], POLICY, SELECTION) == list(range(10)), "nobody vouched for it"


def test_variants_that_are_like_each_other_count() -> None:
    assert counting([*USUAL, 0.12, 0.13], [9, 10], POLICY, SELECTION) == list(range(11))


def test_if_too_few_were_left_all_count() -> None:
    assert counting([*USUAL[:7], 0.9], [7], POLICY, SELECTION) == list(range(8))


@given(st.lists(st.floats(0.01, 1.0), min_size=9, max_size=30), st.data())
def test_only_what_a_person_confirmed_is_left_out(scores: list[float], data: st.DataObject) -> None:
    confirmed = data.draw(st.lists(st.integers(0, len(scores) - 1), unique=True))
    counted = counting(scores, confirmed, POLICY, SELECTION)
    assert counted == sorted(set(counted))
    assert len(counted) >= POLICY.minimum_samples
    assert set(range(len(scores))) - set(counted) <= set(confirmed)


@pytest.mark.parametrize("confirmed", [(), (6,)])
def test_a_confirmed_reference_is_kept_however_unlike_the_others(confirmed: tuple[int, ...]) -> None:
    images, names = [part(index) for index in range(7)], [str(index) for index in range(7)]
    scores = [*USUAL[:6], 5.0]
    found = select(images, names, lambda kept: [scores[index] for index in kept], confirmed=confirmed)
    assert len(found.outliers) == len(found.sentences) == 1 - len(confirmed)
    assert (6 in found.kept) == bool(confirmed)


@pytest.mark.parametrize("confirmed", [(), (6,)])
def test_a_confirmed_duplicate_is_kept(confirmed: tuple[int, ...]) -> None:
    images, names = [part(index) for index in range(6)], [str(index) for index in range(7)]
    found = select([*images, images[0]], names, lambda kept: [0.1] * len(kept), confirmed=confirmed)
    assert len(found.duplicates) == 1 - len(confirmed)
    assert (6 in found.kept) == bool(confirmed)
