"""``BackgroundSchedule``: the schedule of one agent, on APScheduler's threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from agent.telemetry import Counters

logger = logging.getLogger(__name__)

CLOCK_CHECK_S = 10.0
CLOCK_JUMP_S = 30.0
"""A wall clock that moved against the steady one by more than this has been set."""

THREADS = 4
"""Retention and a language model may each occupy one for minutes; the disk must be checked meanwhile."""


class BackgroundSchedule:
    """Runs periodic and later tasks, behind :class:`agent.ports.Scheduler`.

    Tasks are kept in memory: what must survive a restart is in the database, where a periodic task finds it.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` and ``steady``: seconds of the wall clock and of one that cannot be set."""
        self._counters = counters
        self._clock = clock
        self._steady = steady
        self._offset = clock() - steady()
        self._stopped = threading.Event()
        self._clock_watch = threading.Thread(target=self._watch_clock, name="schedule-clock", daemon=True)
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(THREADS, {"thread_name_prefix": "schedule"})},
            # A clock that jumped, or a machine that slept, must not run a task a hundred times.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(self._failed, EVENT_JOB_ERROR)

    def start(self) -> None:
        """Start the threads; tasks that were added before are due from now on."""
        if not self._scheduler.running:
            self._scheduler.start()
            self._clock_watch.start()

    def stop(self) -> None:
        """Start no further task and wait for the running ones."""
        self._stopped.set()
        if self._scheduler.running:
            # Its thread would fail on a one-time task that it just starts; paused, it finishes that first.
            self._scheduler.pause()
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=True)

    def every(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        self._scheduler.add_job(
            task, IntervalTrigger(seconds=seconds, timezone=UTC), id=name, name=name, replace_existing=True
        )

    def later(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        self._scheduler.add_job(
            task, DateTrigger(due, timezone=UTC), id=name, name=name, replace_existing=True
        )

    def check_clock(self) -> None:
        """Reschedule all tasks if the wall clock was set.

        Tasks are due by the wall clock: setting it back by a day would delay them all by a day.
        """
        offset = self._clock() - self._steady()
        jumped_s, self._offset = offset - self._offset, offset
        if abs(jumped_s) <= CLOCK_JUMP_S:
            return
        self._counters.add("clock_jumps")
        logger.warning("the clock was set by %+.0f s; periodic tasks are rescheduled", jumped_s)
        for job in self._scheduler.get_jobs():
            try:
                _reschedule(job, jumped_s)
            except JobLookupError as error:  # a one-time task ran meanwhile
                logger.debug("not rescheduled: %s", error)

    def _watch_clock(self) -> None:
        while not self._stopped.wait(CLOCK_CHECK_S):
            self.check_clock()

    def _failed(self, event: JobExecutionEvent) -> None:
        self._counters.add("scheduled_tasks_failed")
        logger.error("the scheduled task %s failed: %s", event.job_id, event.exception)


def _reschedule(job: Job, jumped_s: float) -> None:
    """Raises JobLookupError if the job is no longer scheduled."""
    if isinstance(job.trigger, IntervalTrigger):
        seconds = job.trigger.interval.total_seconds()
        job.reschedule(IntervalTrigger(seconds=seconds, timezone=UTC))
    else:
        job.modify(next_run_time=job.next_run_time + timedelta(seconds=jumped_s))
