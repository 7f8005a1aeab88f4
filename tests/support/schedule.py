"""A schedule that a test runs by hand."""

from __future__ import annotations

from collections.abc import Callable


class ManualSchedule:
    """See :class:`agent.ports.Scheduler`: nothing runs until :meth:`run` is called with its name."""

    def __init__(self) -> None:
        self.periodic: dict[str, Callable[[], None]] = {}
        self.once: dict[str, Callable[[], None]] = {}

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def every(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """See the port."""
        self.periodic[name] = task

    def later(self, name: str, seconds: float, task: Callable[[], None]) -> None:
        """See the port."""
        self.once[name] = task

    def run(self, name: str) -> None:
        """What is due once is done once; what is periodic may be run again."""
        task = self.once.pop(name, None) or self.periodic[name]
        task()
