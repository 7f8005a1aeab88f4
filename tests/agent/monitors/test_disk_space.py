"""DiskStateTracker: when a disk counts as low, full and well again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.verdict import Verdict
from agent.monitors.disk_space import RELEASE_ORDER, DiskPolicy, DiskState, DiskStateTracker
from agent.ports.disk import Space

GB, MB = 1_000_000_000, 1_000_000
POLICY = DiskPolicy(reserve=GB)


def space(free: int, total: int = 100 * GB) -> Space:
    return Space("media", total, free)


def test_each_change_is_reported_once() -> None:
    monitor = DiskStateTracker(POLICY)
    free = [50 * GB, 990 * MB, 980 * MB, 1100 * MB, 50 * MB, 40 * MB, 500 * MB, 1240 * MB, 1250 * MB, 9 * GB]
    reported = [monitor.look(space(each)) for each in free]
    low, full, well = DiskState.LOW, DiskState.FULL, DiskState.OK
    assert reported == [None, low, None, None, full, None, None, None, well, None]


def test_a_refused_write_is_believed_whatever_the_disk_says() -> None:
    """No names for files are left, or there is a quota: the disk has room and refuses."""
    monitor = DiskStateTracker(POLICY)
    assert monitor.look(space(50 * GB), refused=True) is DiskState.FULL
    assert [monitor.look(space(50 * GB)) for _ in range(5)] == [None] * 5, "the next may be refused"
    assert monitor.look(space(50 * GB)) is DiskState.OK


def test_after_a_refusal_for_lack_of_space_room_is_enough() -> None:
    monitor = DiskStateTracker(POLICY)
    assert monitor.look(space(0), refused=True) is DiskState.FULL
    assert monitor.look(space(2 * GB)) is DiskState.OK


def test_of_a_small_disk_a_tenth_is_the_reserve() -> None:
    assert POLICY.reserve_of(space(0, 16 * MB)) == 1_600_000
    assert POLICY.goal_of(space(0, 16 * MB)) == 2_000_000
    assert POLICY.reserve_of(space(0, 1000 * GB)) == GB


@given(st.integers(0, 10**13), st.integers(0, 10**10), st.integers(0, 10**13))
def test_thresholds_are_in_order_on_every_disk(total: int, reserve: int, free: int) -> None:
    policy, disk = DiskPolicy(reserve), space(free, total)
    assert 0 <= policy.floor_of(disk) <= policy.reserve_of(disk) <= policy.goal_of(disk) <= max(total, 0)


def test_without_a_reserve_only_a_refusal_counts() -> None:
    monitor = DiskStateTracker(DiskPolicy(reserve=0))
    assert monitor.look(space(0)) is None
    assert monitor.look(space(0), refused=True) is DiskState.FULL


def test_failed_parts_go_last_and_nothing_is_forgotten() -> None:
    assert RELEASE_ORDER[-1] is Verdict.FAIL
    assert set(RELEASE_ORDER) == set(Verdict) - {Verdict.SKIPPED}, "a frame that was skipped has no image"
