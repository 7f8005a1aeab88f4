"""How parts lie: decided from leave-one-out scores, written into recipes, and looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.recipe import Recipe, generic_recipe
from agent.enrollment.orientation import (
    ENOUGH,
    LOOKED_AT,
    Orientation,
    OrientationPolicy,
    evenly,
    looked_at,
    pose_of,
    posed,
    told,
    undecided,
)

POLICY = OrientationPolicy(directions=8, gain=0.15)
scores = st.lists(st.tuples(st.floats(1e-3, 10.0), st.floats(0.0, 2.0)), min_size=2, max_size=8)


def lying(pairs: list[tuple[float, float]], policy: OrientationPolicy = POLICY) -> Orientation:
    """Of references with these plain scores, and their turned ones as shares of them."""

    def leave_one_out(angles: object) -> list[float]:
        return [plain * (1.0 if angles == (0.0,) else share) for plain, share in pairs]

    return pose_of(len(pairs), leave_one_out, policy)


def test_parts_that_find_their_like_only_among_turned_ones_lie_in_any_direction() -> None:
    assert lying([(0.2, 0.7), (0.3, 0.6), (0.25, 0.8)]).turned
    assert not lying([(0.2, 0.97), (0.3, 1.0), (0.25, 0.99)]).turned


def test_one_defective_reference_does_not_hide_how_the_others_lie() -> None:
    assert lying([(0.2, 0.7), (0.3, 0.6), (9.0, 1.0)]).turned
    assert not lying([(0.2, 1.0), (0.3, 0.98), (9.0, 0.1)]).turned


@given(scores, st.floats(0.01, 100.0))
def test_the_unit_of_scores_does_not_matter(pairs: list[tuple[float, float]], unit: float) -> None:
    one, other = lying(pairs), lying([(plain * unit, share) for plain, share in pairs])
    assert one.gain == pytest.approx(other.gain, abs=1e-9)


@given(scores)
def test_the_decision_follows_the_gain(pairs: list[tuple[float, float]]) -> None:
    pose = lying(pairs)
    assert pose.gain is not None
    assert pose.turned == (pose.gain >= POLICY.gain)
    assert min(share for _, share in pairs) - 1e-9 <= 1.0 - pose.gain <= max(s for _, s in pairs) + 1e-9


@pytest.mark.parametrize(
    ("count", "policy"), [(1, POLICY), (0, POLICY), (5, OrientationPolicy(directions=1))]
)
def test_nothing_is_compared_where_nothing_can_be_told(count: int, policy: OrientationPolicy) -> None:
    def never(_: object) -> list[float]:
        raise AssertionError("nothing should be scored")

    assert pose_of(count, never, policy) == Orientation(False, None)


def test_references_that_are_all_the_same_are_left_as_they_are() -> None:
    assert lying([(0.0, 1.0)] * 3) == Orientation(False, 0.0)


def test_not_one_score_for_each_reference_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 references need as many scores"):
        pose_of(3, lambda _: [0.1], POLICY)


@given(st.integers(1, 300), st.integers(1, 32))
def test_many_references_are_memorised_in_fewer_directions(count: int, directions: int) -> None:
    angles = OrientationPolicy(directions).angles_among(count)
    assert angles[0] == 0.0
    assert all(0.0 <= angle < 360.0 for angle in angles)
    assert 1 <= len(angles) <= directions
    assert len(angles) == 1 or len(angles) * count <= ENOUGH
    assert len(OrientationPolicy(directions).angles_among(count + 1)) <= len(angles)


@given(st.integers(1, 32))
def test_references_are_compared_in_no_more_directions_than_the_gain_was_chosen_with(directions: int) -> None:
    asked: list[tuple[float, ...]] = []

    def scores(angles: Sequence[float]) -> list[float]:
        asked.append(tuple(angles))
        return [1.0, 1.0]

    pose_of(2, scores, OrientationPolicy(directions))
    assert asked == ([] if directions == 1 else [(0.0,), evenly(min(directions, 8))])


@given(st.integers(1, 300))
def test_those_that_are_looked_at_are_spread_over_all(count: int) -> None:
    indices = looked_at(count)
    assert len(indices) == len(set(indices)) == min(count, LOOKED_AT)
    assert indices == sorted(indices)
    assert indices[0] == 0
    assert indices[-1] < count


@pytest.mark.parametrize("wrong", [{"directions": 0}, {"gain": 0.0}, {"gain": 1.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"are 1 or more|between 0 and 1"):
        OrientationPolicy(**wrong)  # type: ignore[arg-type]


def book(*versions: Recipe) -> dict[tuple[str, int], Recipe]:
    return {(one.sku, one.version): one for one in versions}


def version(number: int, origin: str, angles: list[float] | None, parent: int | None = None) -> Recipe:
    recipe = replace(generic_recipe("A", "fade"), version=number, origin=origin, parent=parent)
    return recipe if angles is None else posed(recipe, angles)


@pytest.mark.parametrize("origin", ["person", "import"])
def test_angles_of_a_person_stay_whatever_came_after(origin: str) -> None:
    first, theirs = version(1, "enrollment", None), version(2, origin, [0.0, 90.0], 1)
    later = version(3, "enrollment", [0, 90], 2)
    stored = book(first, theirs, later)
    assert undecided(later, lambda sku, number: stored.get((sku, number))) is later
    assert undecided(theirs, lambda sku, number: stored.get((sku, number))) is theirs


def test_angles_that_an_enrollment_decided_on_are_looked_at_again() -> None:
    own = version(1, "enrollment", [0.0, 90.0])
    threshold = version(2, "person", [0.0, 90.0], 1)  # a person chose a threshold, not the angles
    stored = book(own, threshold)
    again = undecided(threshold, lambda sku, number: stored.get((sku, number)))
    assert "angles" not in again.parameters
    assert undecided(again, lambda sku, number: stored.get((sku, number))) is again


def test_a_change_is_told_in_a_sentence() -> None:
    plain, turned, fewer = (version(1, "enrollment", a) for a in (None, [0.0, 90.0, 180.0], [0.0, 180.0]))
    assert told(plain, plain) is None
    assert told(turned, turned) is None
    assert told(plain, turned) == "references are memorised in 3 directions: the parts lie in any"
    assert told(turned, fewer) == "references are memorised in 2 directions, before in 3"
    assert told(turned, plain) == "references are no longer memorised in 3 directions"
