"""``Outcome``: the figures of an evaluation as a table and in Markdown, with published rows beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from adapters.cli.screen import stdout, table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from adapters.evaluation.evaluate import Figures, Options
    from adapters.evaluation.published import Published

HEADINGS: Mapping[str, str] = {
    "image_auroc": "image AUROC",
    "image_aupr": "image AUPR",
    "image_ap": "image AP",
    "image_f1max": "image F1",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1max": "pixel F1",
    "pro": "pixel PRO",
    "false_alarms_at_2pct_escapes": "false 2%",
    "escapes_at_2pct_false_alarms": "esc. 2%",
    "images": "images",
    "ms_per_image": "ms an image",
}
"""Columns in their order; narrow enough for all of them on one line of a terminal."""

LEGEND = (
    "F1: at its best threshold. AUPR: trapezoid, AP: step-wise. PRO: to 0.3 false positives. "
    "false 2%: false alarms at 2 % escapes; esc. 2%: escapes at 2 % false alarms."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    cells: Mapping[str, str]
    """Ready to print, by figure."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that an evaluation reports."""

    report: dict[str, Any]
    """The evaluation JSON."""
    title: str
    published: tuple[Published, ...]
    comparable: bool
    """Whether our mean is over all categories of the published dataset."""
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        runs: Mapping[str, Sequence[Figures]],
        options: Options,
        dataset: str,
        root: Path,
        profile: str,
        machine: str,
        notes: Sequence[str],
    ) -> Outcome:
        """Sum up, and look for published rows."""
        from adapters.evaluation.published import CATEGORIES, dataset_of, is_whole, published
        from adapters.evaluation.report import report

        known = dataset_of(runs)
        rows = published(known, options.method, options.shots) if known else ()
        whole = known is not None and is_whole(known, runs)
        sentences = list(notes)
        if known and rows and not whole:
            sentences.append(
                f"published rows are means over all {len(CATEGORIES[known])} categories of {known}, "
                f"ours over {len(runs)} of them: no differences are given"
            )
        sentences += [f"{row.title}: {row.note}" for row in rows if row.note]
        made = report(
            runs,
            dataset=dataset,
            root=str(root),
            method=options.method,
            shots=options.shots,
            seeds=options.seeds,
            profile=profile,
            machine=machine,
            published=rows[0].figures if rows and whole else None,
        )
        draws = ""
        if options.shots:
            named = ", ".join(map(str, options.seeds))
            draws = f" drawn as by {options.draw}'s authors with seeds {named}"
        title = (
            f"{options.method}, {options.shots} references{draws}; pixels: {options.protocol.name}; {machine}"
        )
        return cls(made, title, rows, whole, tuple(dict.fromkeys(sentences)))


def show(outcome: Outcome) -> None:
    """Print the table to stdout; in two parts if the terminal is too narrow for one."""
    console = stdout()
    console.print(Text(outcome.title))
    show_parts(console, columns_of(outcome), lambda columns: _table(outcome, columns))
    show_notes(console, outcome.notes)


def show_parts(console: Console, columns: Sequence[str], draw: Callable[[Sequence[str]], Table]) -> None:
    """Print a table of figures; those of pixels in a second one if the terminal is too narrow."""
    parts = [columns]
    if draw(columns).__rich_measure__(console, console.options).maximum > console.width:
        images = [name for name in columns if not name.startswith(("pixel", "pro"))]
        parts = [images, [name for name in columns if name not in images]]
    for part in parts:
        if part:
            console.print(draw(part))


def show_notes(console: Console, notes: Sequence[str]) -> None:
    """Print what the columns mean, and the notes."""
    console.print(Text(LEGEND, style="dim"))
    for note in notes:
        console.print(Text(f"- {note}", style="dim"))


def _table(outcome: Outcome, columns: Sequence[str]) -> Table:
    made = figures_table(("category",), columns)
    for row in rows_of(outcome):
        cells = (row.cells.get(name, "-") for name in columns)
        made.add_row(Text(row.title), *cells, style=style_of(row, outcome))
    return made


def figures_table(leading: Sequence[str], columns: Sequence[str]) -> Table:
    """An empty table: some columns of words, then figures under their headings in two lines."""
    headings = [HEADINGS[name].replace(" ", "\n", 1) for name in columns]
    made = table(*leading, *headings, right=tuple(headings))
    for column in made.columns[: len(leading)]:
        column.no_wrap = True
    made.padding = (0, 1, 0, 0)
    return made


def style_of(row: Row, outcome: Outcome) -> str:
    """Means stand out, what was published or deviates stands back."""
    if row.title in outcome.report["categories"]:
        return ""
    return "bold" if row.title == "mean" else "dim"


def markdown(outcome: Outcome) -> str:
    """The same as a document."""
    columns, report = columns_of(outcome), outcome.report
    lines = [
        f"# {report['method']} on {report['dataset']}",
        "",
        f"{outcome.title}; profile {report['profile']}. Rates are fractions of one.",
        "",
        "| category | " + " | ".join(HEADINGS[name] for name in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for row in rows_of(outcome):
        title = row.title.replace("|", "\\|")
        lines.append(f"| {title} | " + " | ".join(row.cells.get(name, "-") for name in columns) + " |")
    lines += ["", LEGEND, *(f"\n- {note}" for note in outcome.notes)]
    return "\n".join(lines) + "\n"


def columns_of(outcome: Outcome) -> list[str]:
    """The figures that there are, in the order of their columns."""
    report = outcome.report
    shown = [*report["categories"].values(), *(row.figures for row in outcome.published)]
    return [name for name in HEADINGS if any(figures.get(name) is not None for figures in shown)]


def rows_of(outcome: Outcome) -> Iterator[Row]:
    """Categories, their mean, its deviation, and published rows with our differences."""
    report = outcome.report
    for name, figures in report["categories"].items():
        yield Row(name, _cells(figures))
    yield Row("mean", _cells(report["mean"]))
    if report["std"]:
        yield Row("deviation", _cells(report["std"]))
    for published in outcome.published:
        deviations = published.deviations
        yield Row(
            published.title,
            {
                name: f"{value:.3f}" + (f"±{deviations[name] / 100:.3f}" if deviations.get(name) else "")
                for name, value in published.figures.items()
            },
        )
        if outcome.comparable:
            mean = report["mean"]
            yield Row(
                "difference",
                {
                    name: f"{mean[name] - value:+.3f}"
                    for name, value in published.figures.items()
                    if mean.get(name) is not None
                },
            )


def _cells(figures: Figures) -> dict[str, str]:
    return {name: _cell(name, value) for name, value in figures.items() if value is not None}


def _cell(name: str, value: float) -> str:
    if name == "images":
        return f"{value:.0f}"
    return f"{value:.1f}" if name == "ms_per_image" else f"{value:.3f}"
