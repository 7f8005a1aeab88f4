"""``StepProgress``: how far a command is, as a bar on a terminal and as lines elsewhere, with time to go."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from adapters.cli.screen import plain, stderr
from agent.enrollment.progress import Progress

LINE_S = 5.0
"""Where there is no terminal, a step that takes longer than this is a line, and another one each time."""


class StepProgress(Progress):
    """Use it as a context: the bar goes when the work is done, lines stay."""

    def __init__(self, *, every_s: float = LINE_S) -> None:
        self._console = stderr()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Bars(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        self._task: TaskID | None = None
        self._every_s = every_s
        self._what, self._done, self._total = "", 0, 0
        self._begun = self._said = 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def step(self, what: str, total: int) -> None:
        self._what, self._done, self._total = what, 0, total
        self._begun = self._said = time.monotonic()
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(plain(what), total=total)

    def advance(self) -> None:
        self._done = min(self._total, self._done + 1)
        if self._task is not None:
            self._bars.update(self._task, completed=self._done)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= self._every_s:
            self._said = now
            left = (now - self._begun) / max(1, self._done) * (self._total - self._done)
            line = f"{self._what}: {self._done:,} of {self._total:,}, about {left:.0f} s to go"
            self._console.print(plain(line), soft_wrap=True)
