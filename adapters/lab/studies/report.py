"""``Report`` and ``Progress``: a study's figures as a table, in Markdown and JSON, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text
from scipy.stats import beta

from adapters.cli.screen import stderr, table

T = TypeVar("T")


class Progress:
    """A bar on stderr; a line for each product if that is not a terminal."""

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

    def note(self, line: str) -> None:
        """Print a line about what is done."""
        self._console.print(line, markup=False, highlight=False, style="dim", soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Report:
    """All that a study reports."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Ready to print; the last ones may sum up."""
    notes: Sequence[str]
    figures: dict[str, Any]
    """For JSON; rates are fractions of one."""

    def show(self, console: Console) -> None:
        """Print it."""
        made = table(*(name.replace(" ", "\n", 1) for name in self.columns), right=_right(self.columns[1:]))
        made.columns[0].no_wrap = True
        made.padding = (0, 1, 0, 0)
        for row in self.rows:
            made.add_row(*(Text(cell) for cell in row))
        console.print(Text(self.title, style="bold"))
        console.print(made)
        for note in self.notes:
            console.print(Text(f"- {note}", style="dim"))

    def markdown(self, level: int = 1) -> str:
        """The same as a document, or as a part of one below a heading of a higher level."""
        lines = [f"{'#' * level} {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|---|" + "---:|" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"


def _right(columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.replace(" ", "\n", 1) for name in columns)


def interval(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share: it holds the true one at least that often."""
    if of == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = float(beta.ppf(tail, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def percent(share: float | None, digits: int = 2) -> str:
    """``1.05 %``; a dash for None."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"
