"""TaskThread: a thread of onboarding. Failed tasks become events, and tasks wait for storage that refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agent.domain.errors import SightlineError, StorageError
from agent.onboarding.context import OnboardingContext

logger = logging.getLogger(__name__)


class TaskThread:
    """Runs tasks one after the other, in the order in which they were submitted.

    A task has a name, for instance ``enrollment``. If it fails, it becomes an event ``enrollment-failed``,
    and the next task runs. A task that storage refused is tried again after a pause, so each may run twice.
    """

    def __init__(self, context: OnboardingContext, name: str) -> None:
        self._context = context
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, task: str, sku: str | None, work: Callable[[], None]) -> None:
        """Run ``work`` after what was submitted before. Any thread may call.

        After :meth:`close` nothing runs: rows in the database keep the work for the next start.
        """
        try:
            self._executor.submit(self.run, task, sku, work)
        except RuntimeError:  # shut down meanwhile
            logger.info("%s waits for the next start", _named(task, sku))

    def run(self, task: str, sku: str | None, work: Callable[[], None]) -> None:
        """Run ``work`` now, for a task that consists of others. Never raises what the task raises."""
        try:
            self._run_patiently(work)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            message = f"{_named(task, sku)} failed: {error}"
            logger.exception("%s", message)
            self._context.report(f"{task}-failed", message, sku, severity="error")

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all that was submitted so far is done. Raises TimeoutError."""
        self._executor.submit(lambda: None).result(timeout_s)

    def close(self) -> None:
        """Finish the task that runs and drop the others."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run_patiently(self, work: Callable[[], None]) -> None:
        for delay in self._context.options.storage_retries_s:
            try:
                return work()
            except StorageError as error:
                logger.warning("waiting for storage: %s", error)
                if self._context.closing.wait(delay):
                    raise
        return work()


def _named(task: str, sku: str | None) -> str:
    return f"{task} of {sku!r}" if sku else task
