"""BurstDetector: many failed parts within a few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.monitors.failure_burst import MOST_PAIRS, BurstChange, BurstDetector, BurstPolicy

THREE_OF_FIVE = BurstPolicy(3, 5)


def changes(verdicts: str, policy: BurstPolicy = THREE_OF_FIVE) -> list[tuple[int, bool]]:
    """Where something changed in a row of ``F`` and ``.``, and whether a burst began."""
    monitor = BurstDetector(policy)
    seen = [(at, monitor.observe("cam", "A", failed=one == "F")) for at, one in enumerate(verdicts)]
    return [(at, change.began) for at, change in seen if change is not None]


def test_a_burst_is_reported_when_it_begins_and_when_it_is_over() -> None:
    assert changes("..F.F..") == []
    assert changes("F.F.F") == [(4, True)]
    assert changes("FFFFFFFF") == [(2, True)]
    assert changes("FFF...F.") == [(2, True), (7, False)]


def test_cameras_and_products_are_counted_apart() -> None:
    monitor = BurstDetector(BurstPolicy(2, 5))
    assert monitor.observe("one", "A", failed=True) is None
    assert monitor.observe("two", "A", failed=True) is None
    assert monitor.observe("one", "B", failed=True) is None
    assert monitor.observe("one", "A", failed=True) == BurstChange(True, 2, 2)
    for number in range(MOST_PAIRS):
        monitor.observe("one", f"other-{number}", failed=False)
    assert len(monitor._windows) == MOST_PAIRS


@pytest.mark.parametrize(("fails", "of"), [(1, 5), (6, 5)])
def test_an_impossible_policy_is_refused(fails: int, of: int) -> None:
    with pytest.raises(ValueError, match="a burst is"):
        BurstPolicy(fails, of)


@given(st.lists(st.booleans(), max_size=200), st.integers(2, 8), st.integers(0, 8))
def test_a_burst_is_open_exactly_between_its_two_words(failed: list[bool], fails: int, more: int) -> None:
    policy, open_ = BurstPolicy(fails, fails + more), False
    monitor = BurstDetector(policy)
    for at, one in enumerate(failed):
        window = failed[max(0, at + 1 - policy.of) : at + 1]
        change = monitor.observe("cam", "A", failed=one)
        if change is not None:
            assert change.began is not open_
            assert (change.fails, change.frames) == (sum(window), len(window))
            open_ = change.began
        assert open_ or sum(window) < fails
        assert not open_ or sum(window) > fails // 2
