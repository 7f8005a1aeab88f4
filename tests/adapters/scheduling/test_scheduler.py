"""The scheduler: periodic and later tasks on real threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from adapters.scheduling import BackgroundSchedule
from agent.telemetry import Counters
from tests.support.factory import wait_until


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def schedule(counters: Counters) -> Iterator[BackgroundSchedule]:
    made = BackgroundSchedule(counters)
    yield made
    made.stop()


def test_a_periodic_task_runs_again_and_again(schedule: BackgroundSchedule) -> None:
    runs: list[int] = []
    schedule.every("beat", 0.01, lambda: runs.append(1))
    schedule.start()
    wait_until(lambda: len(runs) >= 3, "three runs")


def test_a_task_for_later_runs_once(schedule: BackgroundSchedule) -> None:
    runs, after = [], threading.Event()
    schedule.later("once", 0.0, lambda: runs.append(1))
    schedule.later("after", 0.05, after.set)
    schedule.start()
    assert after.wait(20.0)
    assert runs == [1]


def test_the_last_word_on_a_name_counts(schedule: BackgroundSchedule) -> None:
    ran: list[str] = []
    schedule.later("name", 0.0, lambda: ran.append("first"))
    schedule.later("name", 0.0, lambda: ran.append("last"))
    schedule.start()
    wait_until(lambda: ran, "the task")
    assert ran == ["last"]


def test_a_task_that_fails_is_counted_and_runs_again(
    schedule: BackgroundSchedule, counters: Counters
) -> None:
    def fail() -> None:
        raise RuntimeError("the database is away")

    schedule.every("failing", 0.01, fail)
    schedule.start()
    wait_until(lambda: counters.get("scheduled_tasks_failed") >= 2, "two failures")


def test_a_task_never_runs_twice_at_once(schedule: BackgroundSchedule) -> None:
    inside, most, release = [], [0], threading.Event()

    def slow() -> None:
        inside.append(1)
        most[0] = max(most[0], len(inside))
        release.wait(20.0)
        inside.pop()

    schedule.every("slow", 0.01, slow)
    others = threading.Event()
    schedule.later("others", 0.1, others.set)
    schedule.start()
    assert others.wait(20.0)  # a slow task keeps no other one waiting
    release.set()
    assert most == [1]


def test_stopping_waits_for_the_task_that_runs(schedule: BackgroundSchedule) -> None:
    begun, release, done = threading.Event(), threading.Event(), []

    def task() -> None:
        begun.set()
        release.wait(20.0)
        done.append(1)

    schedule.later("task", 0.0, task)
    schedule.start()
    assert begun.wait(20.0)
    stopper = threading.Thread(target=schedule.stop)
    stopper.start()
    assert not done
    release.set()
    stopper.join(20.0)
    assert done == [1]


def test_a_clock_that_was_set_back_keeps_no_task_waiting(counters: Counters) -> None:
    day_s, wall = 86_400.0, [1_000_000.0]
    schedule = BackgroundSchedule(counters, clock=lambda: wall[0], steady=lambda: 0.0)
    beat, later = threading.Event(), threading.Event()
    try:
        schedule.start()
        schedule.later("later", day_s + 0.05, later.set)  # in a moment, by the clock as it was
        schedule.every("beat", 0.05, beat.set)
        planned = datetime.now(UTC) + timedelta(seconds=day_s)
        schedule._scheduler.modify_job("beat", next_run_time=planned)
        beat.clear()
        schedule.check_clock()
        assert counters.get("clock_jumps") == 0
        wall[0] -= day_s
        schedule.check_clock()
        assert counters.get("clock_jumps") == 1
        assert later.wait(20.0)
        assert beat.wait(20.0)
    finally:
        schedule.stop()


def test_a_task_that_ran_meanwhile_keeps_no_other_waiting(counters: Counters) -> None:
    wall = [0.0]
    schedule = BackgroundSchedule(counters, clock=lambda: wall[0], steady=lambda: 0.0)
    schedule.later("for once", 3600.0, lambda: None)
    schedule.every("periodic", 7200.0, lambda: None)
    schedule.start()
    try:
        engine = schedule._scheduler
        found = engine.get_jobs()
        assert [job.id for job in found] == ["for once", "periodic"]
        planned = found[1].next_run_time
        engine.remove_job("for once")  # as it is once it ran
        engine.get_jobs = lambda: found
        wall[0] = -86_400.0
        schedule.check_clock()
        del engine.get_jobs
        (job,) = engine.get_jobs()
        assert job.next_run_time > planned
    finally:
        schedule.stop()


def test_a_schedule_that_stops_in_the_midst_of_starting_tasks_ends_quietly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    for _ in range(100):
        schedule = BackgroundSchedule(Counters())
        for number in range(20):
            schedule.later(f"once {number}", 0.0, lambda: None)
        schedule.start()
        schedule.stop()
    assert died == []
