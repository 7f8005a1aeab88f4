"""Scheduler: periodic tasks, and tasks that run later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Scheduler(Protocol):
    """Runs tasks beside the pipeline. A task that raises is logged and runs again when it is next due."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Start no further task, and wait for the one that runs."""
        ...

    def every(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """Run ``task`` every ``seconds``, never twice at once. Missed times count as one."""
        ...

    def later(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """Run ``task`` once, in ``seconds``. A later call with the same name replaces it."""
        ...
