"""``bench --history``: how fast a history of many rows takes frames and answers the documented queries."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from adapters.cli.bench.machine import cores, processor
from adapters.cli.options import composition_of
from adapters.cli.screen import plain, stderr, stdout, table

if TYPE_CHECKING:
    import typer

    from storage.benchmark.bench import HistoryFigures


def bench_history(context: typer.Context, rows: int, url: str | None) -> dict[str, Any]:
    """The figures, shown as a table. By default of a SQLite file that is deleted. Raises StorageError."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder, stderr().status("") as status:
        figures = composition_of(context).bench_history(
            url or f"sqlite:///{Path(folder) / 'history.db'}",
            rows,
            lambda what: status.update(f"[dim]{plain(what)} ...[/]"),
        )
    where = f"{processor()}, {cores()} cores"
    _show(figures, where)
    return {"machine": where, **asdict(figures)}


def _show(figures: HistoryFigures, machine: str) -> None:
    shown = table(
        "view", "query", "rows", "median",
        title=f"{figures.database}, {figures.rows:,} inspections; {machine}",
        right=("rows", "median"),
    )  # fmt: skip
    for query, answer in figures.answers:
        shown.add_row(
            Text(query.section, style="dim"), query.title, str(answer.rows), f"{answer.median_ms:,.1f} ms"
        )
    console = stdout()
    console.print(shown)
    for where, insertion in (("an empty history", figures.into_empty), ("the full one", figures.into_full)):
        console.print(
            f"Into {where} {insertion.rows_per_s:,.0f} frames a second, "
            f"{insertion.rows_per_cpu_s:,.0f} a second of this process's own time."
        )
