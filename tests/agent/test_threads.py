"""Backoff: pauses that double up to a longest, with or without jitter; run_with_timeout."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.threads import Backoff, run_with_timeout


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.failures == 5


def test_after_a_success_it_begins_again() -> None:
    backoff = Backoff(0.5, 3.0)
    for _ in range(4):
        backoff.failed()
    backoff.succeeded()
    assert (backoff.failures, backoff.failed()) == (0, 0.5)


@given(st.integers(0, 2**32), st.floats(0.01, 10.0), st.integers(1, 20))
def test_with_jitter_a_pause_lies_in_the_upper_half_of_its_step(
    seed: int, first_s: float, tries: int
) -> None:
    plain, jittered = Backoff(first_s, 60.0), Backoff(first_s, 60.0, random.Random(seed))
    for _ in range(tries):
        step = plain.failed()
        assert step / 2 <= jittered.failed() <= step


def test_what_an_action_raises_in_time_is_raised() -> None:
    def broken() -> None:
        raise KeyError("odd")

    with pytest.raises(KeyError):
        run_with_timeout(10.0, broken, "it")


def test_an_action_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    assert not run_with_timeout(0.01, lambda: wait_for(release), "the slow one")
    release.set()
    assert "the slow one did not end within 0.01 s" in caplog.text
    assert run_with_timeout(10.0, lambda: None, "the quick one")


def wait_for(event: threading.Event) -> None:
    event.wait(20.0)
