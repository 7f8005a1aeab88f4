"""How far a trial is, for whoever waits at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from adapters.cli.screen import stderr

T = TypeVar("T")


class Progress:
    """A bar on stderr; a line for each product where that is no terminal."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar = Bar(
            TextColumn("[dim]{task.description}[/]"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def follow(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """The items, counted as they are taken."""
        self._bar.update(self._task, description=what, total=total, completed=0)
        for item in items:
            yield item
            self._bar.advance(self._task)

    def say(self, line: str) -> None:
        """Something that is through."""
        self._console.print(line, markup=False, highlight=False, style="dim", soft_wrap=True)
