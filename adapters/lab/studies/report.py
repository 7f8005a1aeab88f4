"""A trial's figures as a table on the screen, in Markdown and in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text
from scipy.stats import beta

from adapters.cli.screen import table


@dataclass(frozen=True, slots=True)
class Report:
    """All that is said of a trial."""

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
    """``1.05 %``; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"
