"""Tables: figures by row and column, as Markdown and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.lab.evaluation.figures import Figure

Cell = Figure | str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line; ``mean`` says that it sums up others."""

    title: str
    cells: tuple[Cell, ...]
    mean: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title and what must be known to read it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def markdown(self) -> str:
        """The table as people read it. Intervals stand in the rows of means alone; JSON has them all."""
        lines = [f"### {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += ["| | " + " | ".join(self.columns) + " |", "|---" * (len(self.columns) + 1) + "|"]
        for row in self.rows:
            title = f"**{row.title}**" if row.mean else row.title
            lines.append(f"| {title} | " + " | ".join(_text(cell, row.mean) for cell in row.cells) + " |")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "title": self.title,
            "note": self.note,
            "rows": {
                row.title: {
                    column: cell.as_dict() if isinstance(cell, Figure) else cell
                    for column, cell in zip(self.columns, row.cells, strict=True)
                }
                for row in self.rows
            },
        }


def _text(cell: Cell, with_interval: bool) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return str(cell) if with_interval else f"{cell.value:.3f}"


def markdown(tables: Sequence[Table]) -> str:
    """All of them below each other."""
    return "\n\n".join(table.markdown() for table in tables) + "\n"
