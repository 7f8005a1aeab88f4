"""``Comparison``: several evaluations on the same images in one table, by method and number of references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from adapters.cli.screen import plural, stdout
from adapters.evaluation.figures import (
    HEADINGS,
    LEGEND,
    Outcome,
    columns_of,
    figures_table,
    rows_of,
    show_notes,
    show_parts,
    style_of,
)

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Compared:
    """One method with so many references, measured."""

    method: str
    shots: int
    backbone: str
    """The model whose features it compares; a dash if it has none."""
    outcome: Outcome


@dataclass(slots=True)
class Comparison:
    """Fills while methods are measured; one that cannot run is named with the reason."""

    measured: list[Compared] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """A sentence for each method that could not be measured."""

    def leave_out(self, method: str, shots: Sequence[int], reason: str) -> None:
        """``method`` cannot be measured with these numbers of references."""
        numbers = " or ".join(plural(each, "reference") for each in shots)
        self.left_out.append(f"{method} was not measured with {numbers}: {reason}")

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The evaluation JSON of each."""
        return [one.outcome.report for one in self.measured]

    def show(self) -> None:
        """Print the table to stdout."""
        console = stdout()
        show_parts(console, self._columns(), self._table)
        show_notes(console, self._notes())

    def markdown(self, title: str) -> str:
        """The same as a document."""
        columns = self._columns()
        headings = ("method", "backbone", "references", "category", *(HEADINGS[name] for name in columns))
        lines = [
            f"# {title}",
            "",
            "Rates are fractions of one.",
            "",
            "| " + " | ".join(headings) + " |",
            "|---|---|---:|---|" + "---:|" * len(columns),
        ]
        for one in self.measured:
            for row in rows_of(one.outcome):
                words = (one.method, one.backbone, str(one.shots), row.title.replace("|", "\\|"))
                cells = (row.cells.get(name, "-") for name in columns)
                lines.append("| " + " | ".join((*words, *cells)) + " |")
        lines += ["", LEGEND, *(f"\n- {note}" for note in self._notes())]
        return "\n".join(lines) + "\n"

    def _table(self, columns: Sequence[str]) -> Table:
        made = figures_table(("method", "refs", "category"), columns)
        for one in self.measured:
            for row in rows_of(one.outcome):
                cells = (row.cells.get(name, "-") for name in columns)
                words = (Text(one.method), str(one.shots), Text(row.title))
                made.add_row(*words, *cells, style=style_of(row, one.outcome))
            made.add_section()
        return made

    def _columns(self) -> list[str]:
        known = {name for one in self.measured for name in columns_of(one.outcome)}
        return [name for name in HEADINGS if name in known]

    def _notes(self) -> list[str]:
        notes = dict.fromkeys(f"{one.method}: {note}" for one in self.measured for note in one.outcome.notes)
        titles = [f"{one.outcome.title}; features of {one.backbone}" for one in self.measured]
        return [*titles, *notes, *self.left_out]
