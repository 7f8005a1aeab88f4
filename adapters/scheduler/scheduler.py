"""The schedule of one agent, on APScheduler's threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from agent.counters import Counters

logger = logging.getLogger(__name__)

THREADS = 2


class BackgroundSchedule:
    """See :class:`agent.ports.Scheduler`. Tasks are kept in memory: what must survive a restart stands in
    the database, and a periodic task looks for it there.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
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

    def stop(self) -> None:
        """Start no further task and wait for the one that runs."""
        if self._scheduler.running:
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

    def _failed(self, event: JobExecutionEvent) -> None:
        self._counters.add("scheduled_tasks_failed")
        logger.error("the scheduled task %s failed: %s", event.job_id, event.exception)
