"""How parts lie: decided from leave-one-out scores, written into recipes, and decided again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.recipe import Recipe, template_recipe
from agent.enrollment.orientation import (
    COMPARED_REFERENCES,
    ENOUGH_IMAGES,
    Orientation,
    OrientationPolicy,
    compared_references,
    describe_change,
    even_angles,
    find_orientation,
    with_angles,
    without_found_angles,
)

POLICY = OrientationPolicy(directions=8, gain=0.15)
scores = st.lists(st.tuples(st.floats(1e-3, 10.0), st.floats(0.0, 2.0)), min_size=2, max_size=8)


def lying(pairs: list[tuple[float, float]], policy: OrientationPolicy = POLICY) -> Orientation:
    """Of references with these plain scores, and their rotated ones as shares of them."""

    def leave_one_out(angles: object) -> list[float]:
        return [plain * (1.0 if angles == (0.0,) else share) for plain, share in pairs]

    return find_orientation(len(pairs), leave_one_out, policy)


def test_parts_that_resemble_only_rotated_ones_lie_in_any_direction() -> None:
    assert lying([(0.2, 0.7), (0.3, 0.6), (0.25, 0.8)]).is_arbitrary
    assert not lying([(0.2, 0.97), (0.3, 1.0), (0.25, 0.99)]).is_arbitrary


def test_one_defective_reference_does_not_hide_how_the_others_lie() -> None:
    assert lying([(0.2, 0.7), (0.3, 0.6), (9.0, 1.0)]).is_arbitrary
    assert not lying([(0.2, 1.0), (0.3, 0.98), (9.0, 0.1)]).is_arbitrary


@given(scores, st.floats(0.01, 100.0))
def test_the_unit_of_scores_does_not_matter(pairs: list[tuple[float, float]], unit: float) -> None:
    one, other = lying(pairs), lying([(plain * unit, share) for plain, share in pairs])
    assert one.gain == pytest.approx(other.gain, abs=1e-9)


@given(scores)
def test_the_decision_follows_the_gain(pairs: list[tuple[float, float]]) -> None:
    found = lying(pairs)
    assert found.gain is not None
    assert found.is_arbitrary == (found.gain >= POLICY.gain)
    assert min(share for _, share in pairs) - 1e-9 <= 1.0 - found.gain <= max(s for _, s in pairs) + 1e-9


@pytest.mark.parametrize(
    ("count", "policy"), [(1, POLICY), (0, POLICY), (5, OrientationPolicy(directions=1))]
)
def test_nothing_is_compared_if_nothing_can_be_decided(count: int, policy: OrientationPolicy) -> None:
    def never(_: object) -> list[float]:
        raise AssertionError("nothing should be scored")

    assert find_orientation(count, never, policy) == Orientation(is_arbitrary=False, gain=None)


def test_references_that_are_all_the_same_are_left_as_they_are() -> None:
    assert lying([(0.0, 1.0)] * 3) == Orientation(is_arbitrary=False, gain=0.0)


def test_not_one_score_for_each_reference_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 references need as many scores"):
        find_orientation(3, lambda _: [0.1], POLICY)


@given(st.integers(1, 300), st.integers(1, 32))
def test_many_references_are_memorised_in_fewer_directions(count: int, directions: int) -> None:
    angles = OrientationPolicy(directions).angles_among(count)
    assert angles[0] == 0.0
    assert all(0.0 <= angle < 360.0 for angle in angles)
    assert 1 <= len(angles) <= directions
    assert len(angles) == 1 or len(angles) * count <= ENOUGH_IMAGES
    assert len(OrientationPolicy(directions).angles_among(count + 1)) <= len(angles)


@given(st.integers(1, 32))
def test_references_are_compared_in_no_more_directions_than_the_gain_was_chosen_with(directions: int) -> None:
    asked: list[tuple[float, ...]] = []

    def scores(angles: Sequence[float]) -> list[float]:
        asked.append(tuple(angles))
        return [1.0, 1.0]

    find_orientation(2, scores, OrientationPolicy(directions))
    assert asked == ([] if directions == 1 else [(0.0,), even_angles(min(directions, 8))])


@given(st.integers(1, 300))
def test_the_compared_references_are_spread_over_all(count: int) -> None:
    indices = compared_references(count)
    assert len(indices) == len(set(indices)) == min(count, COMPARED_REFERENCES)
    assert indices == sorted(indices)
    assert indices[0] == 0
    assert indices[-1] < count


@pytest.mark.parametrize("wrong", [{"directions": 0}, {"gain": 0.0}, {"gain": 1.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"are 1 to 32|between 0 and 1"):
        OrientationPolicy(**wrong)  # type: ignore[arg-type]


def book(*versions: Recipe) -> dict[tuple[str, int], Recipe]:
    return {(one.sku, one.version): one for one in versions}


def version(number: int, origin: str, angles: list[float] | None, parent: int | None = None) -> Recipe:
    recipe = replace(template_recipe("A", "fade"), version=number, origin=origin, parent=parent)
    return recipe if angles is None else with_angles(recipe, angles)


@pytest.mark.parametrize("origin", ["person", "import"])
def test_angles_of_a_person_stay_whatever_came_after(origin: str) -> None:
    first, theirs = version(1, "enrollment", None), version(2, origin, [0.0, 90.0], 1)
    later = version(3, "enrollment", [0, 90], 2)
    stored = book(first, theirs, later)
    assert without_found_angles(later, lambda sku, number: stored.get((sku, number))) is later
    assert without_found_angles(theirs, lambda sku, number: stored.get((sku, number))) is theirs


def test_angles_that_an_enrollment_found_are_found_again() -> None:
    own = version(1, "enrollment", [0.0, 90.0])
    threshold = version(2, "person", [0.0, 90.0], 1)  # a person chose a threshold, not the angles
    stored = book(own, threshold)
    again = without_found_angles(threshold, lambda sku, number: stored.get((sku, number)))
    assert "angles" not in again.parameters
    assert without_found_angles(again, lambda sku, number: stored.get((sku, number))) is again


def test_a_change_is_described_in_a_sentence() -> None:
    plain, rotated, fewer = (version(1, "enrollment", a) for a in (None, [0.0, 90.0, 180.0], [0.0, 180.0]))
    assert describe_change(plain, plain) is None
    assert describe_change(rotated, rotated) is None
    assert describe_change(plain, rotated) == "references are memorised in 3 directions: the parts lie in any"
    assert describe_change(rotated, fewer) == "references are memorised in 2 directions, before in 3"
    assert describe_change(rotated, plain) == "references are no longer memorised in 3 directions"
