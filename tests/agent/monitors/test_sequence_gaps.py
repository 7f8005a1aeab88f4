"""SequenceTracker: what is reported as missing never came."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.frame import Camera, FrameIdentity
from agent.monitors.sequence_gaps import (
    LARGEST_GAP,
    MOST_CAMERAS,
    MOST_RANGES,
    NAMED_RANGES,
    Gap,
    NumberSource,
    Restart,
    SequencePolicy,
    SequenceTracker,
    number_of,
)

CAMERA = Camera("plant", "line", "top")
POLICY = SequencePolicy(patience_s=10.0, pause_s=60.0)


def reported(
    numbers: Sequence[int], *, before: Iterable[int] = (), every_s: float = 0.001
) -> list[Gap | Restart]:
    """What is reported after these frames, one each ``every_s``."""
    tracker, now, found = SequenceTracker(POLICY), 0.0, []
    tracker.begin("cam", before, now)
    for number in numbers:
        now += every_s
        tracker.note("cam", number, now)
        found += tracker.due(now)
    return found + tracker.due(now + POLICY.patience_s + POLICY.pause_s)


def missing(found: Iterable[Gap | Restart]) -> int:
    return sum(one.frames for one in found if isinstance(one, Gap))


def test_a_gap_is_reported_once_with_its_numbers() -> None:
    (gap,) = reported([5, 6, 9, 10, 12])
    assert gap == Gap("cam", 3, ((7, 8), (11, 11)))
    assert "3 frames are missing from cam: sequence 7 to 8, 11 never came" in gap.sentence()


def test_nothing_is_reported_before_the_patience_is_over() -> None:
    tracker = SequenceTracker(POLICY)
    tracker.begin("cam", (), 0.0)
    for number in (1, 4):
        tracker.note("cam", number, 0.0)
    assert tracker.due(9.9) == []
    tracker.note("cam", 2, 9.95)
    assert tracker.due(10.0) == [Gap("cam", 1, ((3, 3),))]
    assert tracker.due(100.0) == []


def test_a_camera_that_loses_frames_all_the_time_is_reported_once_a_minute() -> None:
    found = reported(range(0, 2_000, 2), every_s=0.1)  # 100 s, each second frame lost
    gaps = [one for one in found if isinstance(one, Gap)]
    assert len(gaps) == 3
    assert missing(gaps) == 999
    assert len(gaps[1].ranges) == NAMED_RANGES
    assert "and " in gaps[1].sentence()


@given(
    start=st.integers(2, 2**63),
    count=st.integers(2, 300),
    seed=st.integers(0, 2**32),
    lost=st.floats(0, 0.6),
    repeated=st.floats(0, 0.5),
    reach=st.integers(0, 40),
)
def test_the_reported_count_is_the_truth(
    start: int, count: int, seed: int, lost: float, repeated: float, reach: int
) -> None:
    """Whatever is dropped, repeated and out of order within the patience."""
    source = random.Random(seed)
    sent = [number for number in range(start, start + count) if source.random() >= lost]
    sent = [start, *[n for n in sent if n not in (start, start + count)], start + count]
    doubled = [one for number in sent[1:] for one in [number] * (1 + (source.random() < repeated))]
    # The first frame comes first: what was lost before it cannot be known.
    order = sorted(range(len(doubled)), key=lambda at: at + source.uniform(0, reach))
    found = reported([sent[0], *(doubled[at] for at in order)])
    assert missing(found) == count + 1 - len(set(sent))
    assert not [one for one in found if isinstance(one, Restart)]


@pytest.mark.parametrize("first", [0, 1, 500])
def test_a_camera_that_counts_anew_has_no_gap(first: int) -> None:
    found = reported([*range(5_000, 5_100), *range(first, first + 50)])
    assert found == [Restart("cam", 5_099, first)]
    assert "counts its frames anew" in found[0].sentence()


def test_a_restart_after_a_few_frames_is_seen_where_it_begins_with_0_or_1() -> None:
    assert reported([*range(50), *range(40)]) == [Restart("cam", 49, 0)]
    assert reported([*range(1, 50), *range(1, 40)]) == [Restart("cam", 49, 1)]


def test_frames_of_before_the_restart_that_come_late_are_not_a_gap() -> None:
    assert reported([*range(5_000, 5_100), 0, 1, 5_100, 2, 5_101, 3, 4]) == [Restart("cam", 5_099, 0)]


def test_what_was_missing_before_a_restart_is_reported_with_it() -> None:
    found = reported([5_000, 5_003, 0, 1, 4])
    assert Gap("cam", 2, ((5_001, 5_002),)) in found
    assert missing(found) == 4


@pytest.mark.parametrize("numbers", [[3, 0, 1, 2, 4, 5], [11, *range(11), 12], [3, 2, 1, 0, 4]])
def test_the_first_frame_that_is_noted_need_not_be_the_oldest(numbers: list[int]) -> None:
    """Of a backlog, one thread notes the newest frame and another those that it replaced."""
    assert reported(numbers) == []


def test_one_stray_number_changes_nothing() -> None:
    assert reported([7_000, 7_001, 3, 7_002, LARGEST_GAP * 10, 7_003]) == []


def test_a_far_jump_is_a_restart() -> None:
    assert reported([1, 2, LARGEST_GAP * 3, LARGEST_GAP * 3 + 1]) == [Restart("cam", 2, LARGEST_GAP * 3)]


@pytest.mark.parametrize("modulus", [2**16, 2**32])
@pytest.mark.parametrize("first", [0, 1])
def test_a_counter_that_wraps_around(modulus: int, first: int) -> None:
    """To 0, or to 1 as GigE Vision has it."""
    before = [modulus - 3, modulus - 2, modulus - 1]
    assert reported([*before, first, 2, 3]) == ([] if first else [Gap("cam", 1, ((1, 1),))])
    assert reported([modulus - 2, 1, modulus - 1, 2]) == []


def test_a_gap_around_the_wrap() -> None:
    (gap,) = reported([65_530, 65_533, 3, 4])
    assert gap == Gap("cam", 7, ((65_531, 65_532), (65_534, 2)))


def test_after_a_start_the_history_says_where_to_go_on() -> None:
    assert reported([14, 15], before=[10, 11, 12]) == [Gap("cam", 1, ((13, 13),))]
    assert reported([13, 11], before=[10, 12]) == []
    assert reported([2, 3], before=[9_000, 9_001, 0, 1]) == []


def test_what_is_kept_is_bounded() -> None:
    tracker = SequenceTracker(POLICY)
    tracker.begin("cam", (), 0.0)
    for number in range(0, 20 * MOST_RANGES, 2):
        tracker.note("cam", number, 0.0)
    assert len(tracker._series["cam"].missing) == MOST_RANGES
    assert missing(tracker.due(1.0) + tracker.due(100.0)) == 10 * MOST_RANGES - 1
    known = [tracker.begin(f"cam-{number}", (), 0.0) for number in range(MOST_CAMERAS)]
    assert known.count(False) == 1


@pytest.mark.parametrize(
    ("source", "identity", "number"),
    [
        (NumberSource.FIELD, FrameIdentity(CAMERA, "f-7", sequence=9), 9),
        (NumberSource.FIELD, FrameIdentity(CAMERA, "f-7"), None),
        (NumberSource.FRAME_ID, FrameIdentity(CAMERA, "f-7", sequence=9), 7),
        (NumberSource.AUTO, FrameIdentity(CAMERA, "f-7", sequence=0), 0),
        (NumberSource.AUTO, FrameIdentity(CAMERA, "top-000123"), 123),
        (NumberSource.AUTO, FrameIdentity(CAMERA, "123.jpg"), None),
        (NumberSource.AUTO, FrameIdentity(CAMERA, "ab12", content_derived=True), None),
        (NumberSource.OFF, FrameIdentity(CAMERA, "f-7", sequence=9), None),
    ],
)
def test_where_the_number_stands(source: NumberSource, identity: FrameIdentity, number: int | None) -> None:
    assert number_of(identity, source) == number


@given(st.text(max_size=80))
def test_any_frame_id_has_a_number_or_none(frame_id: str) -> None:
    found = number_of(FrameIdentity(CAMERA, frame_id), NumberSource.FRAME_ID)
    assert found is None or 0 <= found < 10**18


@given(st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**63)), max_size=200))
def test_any_numbers_at_all_are_survived(numbers: list[int]) -> None:
    for one in reported(numbers, every_s=1.0):
        assert one.sentence()
