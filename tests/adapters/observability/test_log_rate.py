"""LogRate: a storm of equal lines is cut short, and nothing of it goes uncounted."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from adapters.observability.log_rate import (
    OF_A_CAMERA,
    OF_NO_CAMERA,
    PLACES,
    WINDOW_S,
    WITH_TRACEBACK,
    LogRate,
)
from tests.support.factory import wait_until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def logged(place: int = 1, camera: str | None = "a/b/c", level: int = logging.INFO) -> logging.LogRecord:
    record = logging.LogRecord("agent.pipeline", level, "file.py", place, "ERROR: %s", ("why",), None)
    if camera is not None:
        record.camera = camera
    return record


def test_the_rest_is_summarised_in_one_record_with_the_next_window() -> None:
    summaries: list[logging.LogRecord] = []
    clock = Clock()
    rate = LogRate(summaries.append, clock)
    assert sum(rate.filter(logged()) for _ in range(100)) == OF_A_CAMERA
    assert rate.filter(logged(camera="a/b/other")), "another camera has a budget of its own"
    clock.now += WINDOW_S
    assert rate.filter(logged())
    (summary,) = summaries
    assert summary.getMessage() == "95 more such lines were left out within a second; the last: ERROR: why"
    assert summary.camera == "a/b/c"  # type: ignore[attr-defined]
    assert summary.levelno == logging.INFO


def test_the_end_of_a_storm_is_summarised_although_no_record_follows() -> None:
    summaries: list[logging.LogRecord] = []
    rate = LogRate(summaries.append)
    for _ in range(OF_A_CAMERA + 1):
        rate.filter(logged())
    wait_until(lambda: summaries, "the summary of the rest")
    assert summaries[0].getMessage().startswith("1 more such line was left out")


def test_what_is_suppressed_at_the_end_of_the_process_is_summarised() -> None:
    summaries: list[logging.LogRecord] = []
    rate = LogRate(summaries.append, Clock())
    for _ in range(OF_A_CAMERA + 3):
        rate.filter(logged())
    rate.flush()
    rate.flush()
    assert [record.getMessage()[:7] for record in summaries] == ["3 more "]


def test_tracebacks_are_long_and_so_are_fewer() -> None:
    rate = LogRate(lambda record: None, Clock())
    records = [logged(camera=None, level=logging.ERROR) for _ in range(10)]
    for record in records:
        record.exc_info = (ValueError, ValueError("x"), None)
    assert sum(rate.filter(record) for record in records) == WITH_TRACEBACK


def test_lists_and_debugging_are_left_alone() -> None:
    rate = LogRate(lambda record: None, Clock())
    assert sum(rate.filter(logged(camera=None)) for _ in range(OF_NO_CAMERA)) == OF_NO_CAMERA
    assert all(rate.filter(logged(level=logging.DEBUG)) for _ in range(1000))


def test_invented_cameras_take_no_memory() -> None:
    rate = LogRate(lambda record: None, Clock())
    passed = sum(rate.filter(logged(camera=f"a/b/{number}")) for number in range(10 * PLACES))
    assert passed <= PLACES + OF_A_CAMERA
    rate.flush()


@given(st.lists(st.tuples(st.floats(0.0, 0.7), st.integers(1, 3)), max_size=80))
def test_lines_and_summaries_add_up_to_what_came(steps: list[tuple[float, int]]) -> None:
    summaries: list[logging.LogRecord] = []
    clock = Clock()
    rate = LogRate(summaries.append, clock)
    passed = 0
    for pause, place in steps:
        clock.now += pause
        passed += rate.filter(logged(place))
    rate.flush()
    assert passed + sum(int(record.getMessage().split()[0]) for record in summaries) == len(steps)
