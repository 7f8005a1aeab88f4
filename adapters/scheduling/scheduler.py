"""The schedule of one agent, on APScheduler's threads."""

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

CLOCK_LOOK_S = 10.0
CLOCK_JUMP_S = 30.0
"""A wall clock that moved against the steady one by more than this was set."""

THREADS = 4
"""The retention and a language model may each keep one for minutes; the disk is looked at all the same."""


class BackgroundSchedule:
    """See :class:`agent.ports.Scheduler`. Tasks are kept in memory: what must survive a restart stands in
    the database, and a periodic task looks for it there.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` and ``steady``: seconds of the wall clock and of one that nobody can set."""
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
        """Start no further task and wait for the one that runs."""
        self._stopped.set()
        if self._scheduler.running:
            # Its thread would trip over a task for once that it is just starting: it finishes that first.
            self._scheduler.pause()
            self._scheduler.remove_all_jobs()
            self._scheduler.shutdown(wait=True)

    def every(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """See the port."""
        self._scheduler.add_job(
            task, IntervalTrigger(seconds=seconds, timezone=UTC), id=name, name=name, replace_existing=True
        )

    def later(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """See the port."""
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        self._scheduler.add_job(
            task, DateTrigger(due, timezone=UTC), id=name, name=name, replace_existing=True
        )

    def look_at_clock(self) -> None:
        """Plan everything anew where the wall clock was set.

        Tasks are due by the wall clock: one that was set back by a day would have them all wait for a day.
        """
        offset = self._clock() - self._steady()
        jumped_s, self._offset = offset - self._offset, offset
        if abs(jumped_s) <= CLOCK_JUMP_S:
            return
        self._counters.add("clock_jumps")
        logger.warning("the clock was set by %+.0f s; periodic tasks are planned anew", jumped_s)
        for job in self._scheduler.get_jobs():
            try:
                _plan_anew(job, jumped_s)
            except JobLookupError as error:  # a task that was for once ran meanwhile
                logger.debug("planned anew without %s", error)

    def _watch_clock(self) -> None:
        while not self._stopped.wait(CLOCK_LOOK_S):
            self.look_at_clock()

    def _failed(self, event: JobExecutionEvent) -> None:
        self._counters.add("scheduled_tasks_failed")
        logger.error("the scheduled task %s failed: %s", event.job_id, event.exception)


def _plan_anew(job: Job, jumped_s: float) -> None:
    """Raises JobLookupError where it is planned no more."""
    if isinstance(job.trigger, IntervalTrigger):
        seconds = job.trigger.interval.total_seconds()
        job.reschedule(IntervalTrigger(seconds=seconds, timezone=UTC))
    else:
        job.modify(next_run_time=job.next_run_time + timedelta(seconds=jumped_s))
