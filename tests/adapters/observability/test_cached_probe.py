"""CachedProbe: a slow probe never delays its caller for longer than the limit."""

from __future__ import annotations

import threading

import pytest

from adapters.observability.cached_probe import CachedProbe, NoAnswerError
from agent.domain.errors import StorageError
from tests.support.factory import wait_until


class Database:
    """Answers once its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked = 0
        self.error: Exception | None = None

    def depth(self) -> int:
        self.asked += 1
        assert self.gate.wait(30.0)
        if self.error is not None:
            raise self.error
        return self.asked


def test_a_fresh_answer_is_given_again() -> None:
    database = Database()
    probe = CachedProbe("the database", database.depth, fresh_s=60.0)
    assert [probe.answer() for _ in range(3)] == [1, 1, 1]


def test_a_stale_one_is_asked_for_anew() -> None:
    database = Database()
    probe = CachedProbe("the database", database.depth, fresh_s=-1.0)
    assert [probe.answer() for _ in range(3)] == [1, 2, 3]


def test_what_asking_raised_is_raised_to_all_who_ask() -> None:
    database = Database()
    database.error = StorageError("the disk is full")
    probe = CachedProbe("the database", database.depth, fresh_s=60.0)
    for _ in range(2):
        with pytest.raises(StorageError, match="the disk is full"):
            probe.answer()
    assert database.asked == 1


def test_one_that_hangs_costs_one_thread_however_many_ask() -> None:
    database = Database()
    database.gate.clear()
    probe = CachedProbe("the database", database.depth, fresh_s=0.0, patience_s=0.01)
    for _ in range(20):
        with pytest.raises(NoAnswerError, match=r"the database gave no answer within 0\.01 s"):
            probe.answer()
    assert database.asked == 1
    database.gate.set()

    def answers() -> bool:
        try:
            return probe.answer() >= 1
        except NoAnswerError:
            return False

    wait_until(answers, "the answer of a database that came back")
