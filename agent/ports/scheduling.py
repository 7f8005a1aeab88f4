"""The schedule: what is periodic, and what is done later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Scheduler(Protocol):
    """Runs tasks beside the line. A task that raises is recorded and runs again when it is next due."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Start no further task and wait for the one that runs."""
        ...

    def every(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """Run ``task`` each ``seconds``, never twice at once; times that were missed count as one."""
        ...

    def later(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """Run ``task`` once, in ``seconds``; asked again under the same name, the last word counts."""
        ...
