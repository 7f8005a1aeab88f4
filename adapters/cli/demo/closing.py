"""``show_summary``: the last screen of the demonstration, with results, files and next commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.cli.screen import COLOURS, duration, table
from adapters.models.weights.catalogue import KNOWN
from agent.domain.names import visible

REAL_WEIGHTS = "vit_small_patch14_dinov2"
"""The model with which the profile ``edge`` compares references."""

_SQL = "SELECT sku, verdict, COUNT(*) FROM inspection_history GROUP BY sku, verdict"


def show_summary(console: Console, summary: Mapping[str, Any], folder: Path, database: str) -> None:
    """Counts, confusion, figures, files and the commands to try next."""
    console.print()
    console.print(_counts(summary))
    console.print(_confusion(summary))
    console.print(_figures(summary))
    console.print(_places(folder))
    console.print("[bold]Next[/]")
    for command in _commands(folder, database):
        # Not wrapped: a command is there to be copied.
        console.print(Text.assemble(("$ ", "dim"), (command, "cyan")), soft_wrap=True)
    console.print(_step_beyond(), soft_wrap=True)
    console.print()


def _counts(summary: Mapping[str, Any]) -> Text:
    clean = not summary["lost"] and not summary["duplicated"]
    return Text.assemble(
        (f"{summary['frames']} frames", "bold"),
        f", {summary['verdicts']} verdicts, ",
        (
            f"{summary['lost']} lost, {summary['duplicated']} duplicated",
            "bold green" if clean else "bold red",
        ),
        f", {summary['skus']} products, {summary['recipes']} recipe versions, {duration(summary['seconds'])}",
    )


def _confusion(summary: Mapping[str, Any]) -> Table:
    counts: Mapping[str, Mapping[str, int]] = summary["confusion"]
    verdicts = list(counts["good"])
    shown = table("enrolled products", *verdicts, right=tuple(verdicts))
    for truth, row in counts.items():
        shown.add_row(truth, *(Text(str(row[name]), _cell(truth, name, row[name])) for name in verdicts))
    return shown


def _cell(truth: str, verdict: str, count: int) -> str:
    """Right verdicts in their colour, wrong ones reversed, empty cells dim."""
    if not count:
        return "dim"
    wrong = (truth, verdict) in (("good", "FAIL"), ("defective", "PASS"))
    return "bold reverse red" if wrong else f"bold {COLOURS.get(verdict, 'default')}"


def _figures(summary: Mapping[str, Any]) -> Table:
    auroc, latency, by_sku = summary["auroc"], summary["latency_ms"], summary["auroc_by_sku"]
    shown = table("figure", "value", "", right=("value",))
    rows = (
        ("AUROC few-shot", _figure(auroc["few_shot"], 3), _by_sku(by_sku["few_shot"])),
        ("AUROC zero-shot", _figure(auroc["zero_shot"], 3), _by_sku(by_sku["zero_shot"])),
        ("frames a second", _figure(summary["fps"], 1), "as the cameras ran"),
        ("inference", _figure(summary["infer_ms_per_frame"], 0, " ms"), "a frame"),
        (
            "latency p50",
            _figure(latency["p50"], 0, " ms"),
            "from receipt of the frame to receipt of the verdict",
        ),
        ("latency p95", _figure(latency["p95"], 0, " ms"), ""),
        ("prompts", summary["prompt_source"], ""),
    )
    for name, value, note in rows:
        shown.add_row(name, value, Text(note, style="dim"))
    return shown


def _figure(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def _by_sku(areas: Mapping[str, float]) -> str:
    return ", ".join(f"{sku} {area:.3f}" for sku, area in areas.items())


def _places(folder: Path) -> Table:
    shown = Table.grid(padding=(0, 2))
    for name, place in (
        ("history", folder / "history.db"),
        ("overlays", f"{folder / 'overlays'}/, some of them in {folder / 'contact_sheet.png'}"),
        ("figures", folder / "summary.json"),
    ):
        shown.add_row(Text(name, style="bold"), Text(visible(str(place))))
    shown.add_row()
    return shown


def _step_beyond() -> Text:
    """The last hint: the bundled model learned from drawn images, real weights from photographs."""
    return Text.assemble(
        f"Real weights, {KNOWN[REAL_WEIGHTS].size / 1e6:.0f} MB: ",
        ("sightline models pull --profile edge", "cyan"),
        ", then ",
        ("sightline run --profile edge", "cyan"),
        "; recipes stay and their thresholds are set again",
    )


def _commands(folder: Path, database: str) -> tuple[str, ...]:
    return (
        f'sqlite3 {folder / "history.db"} "{_SQL}"',
        f"sightline recipe list --set database.url={database}",
        "sightline enroll --sku S --references FOLDER_OF_GOOD_PARTS",
        "sightline run --set broker.url=mqtt://HOST:1883",
        "mosquitto_sub -h HOST -t 'factory/+/+/verdict' -v",
    )
