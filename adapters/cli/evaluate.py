"""``sightline evaluate``: a method's figures on labelled pictures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.options import (
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
)
from adapters.cli.screen import stderr, stdout, table
from agent.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.evaluation.dataset import Category
    from agent.frame import Image
    from agent.ports import ImageCodec

COLUMNS = ("image_auroc", "image_ap", "image_f1max", "pixel_auroc", "images", "ms_per_image")


def evaluate(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(metavar="FORMAT", help="How the pictures are laid out: mvtec.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the categories, or of one.")],
    category: Annotated[
        list[str] | None, typer.Option(metavar="C", help="Only this one; may be repeated.")
    ] = None,
    method: Method = None,
    shots: Annotated[int, typer.Option(metavar="K", min=0, help="References; 0: zero-shot.")] = 0,
    seeds: Annotated[str, typer.Option(metavar="A-B", help="Draws of references: 0-4, or 0,2,7.")] = "0",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.")
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Measure a method on labelled pictures."""
    from agent.evaluation.evaluate import Options
    from agent.evaluation.evaluate import evaluate as measure

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    composition = composition_of(context)
    categories = _categories(dataset, root, category)
    options = Options(settings.inspection.method, shots, parse_seeds(seeds), settings.inspection.max_batch)
    console = stderr()
    with console.status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
    codec = composition.codec()
    with console.status("") as status:
        figures = measure(
            inspector,
            categories,
            options,
            lambda path: _load(path, codec),
            lambda name, done, total: status.update(f"[dim]{name}: {done} of {total} pictures[/]"),
        )
    report = _report(figures, dataset, root, options.method, shots, options.seeds, settings.agent.profile)
    _show(report)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0-4`` and ``0,2,7`` as numbers. Raises ConfigurationError."""
    seeds: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ConfigurationError(f"--seeds reads like 0-4 or 0,2,7, not {text!r}")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ConfigurationError(f"--seeds {text!r} names no seed")
    return tuple(dict.fromkeys(seeds))


def _categories(dataset: str, root: Path, wanted: Sequence[str] | None) -> list[Category]:
    from agent.evaluation.dataset import FORMATS

    if dataset not in FORMATS:
        raise ConfigurationError(f"there is no dataset format {dataset!r}; known are {', '.join(FORMATS)}")
    found = FORMATS[dataset](root)
    if not wanted:
        return found
    missing = sorted(set(wanted) - {one.name for one in found})
    if missing:
        names = ", ".join(one.name for one in found)
        raise ConfigurationError(f"there is no category {missing[0]!r} in {root}; found are {names}")
    return [one for one in found if one.name in wanted]


def _load(path: Path, codec: ImageCodec) -> Image:
    return codec.decode(path.read_bytes())


def _report(
    figures: Mapping[str, Sequence[Mapping[str, Any]]],
    dataset: str,
    root: Path,
    method: str,
    shots: int,
    seeds: tuple[int, ...],
    profile: str,
) -> dict[str, Any]:
    """The evaluation JSON of DESIGN section 4."""
    from agent.evaluation.evaluate import deviation_of, mean_of

    by_seed = [mean_of([runs[index] for runs in figures.values()]) for index in range(_longest(figures))]
    return {
        "dataset": dataset,
        "root": str(root),
        "method": method,
        "shots": shots,
        "seeds": list(seeds),
        "profile": profile,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "categories": {name: mean_of(runs) for name, runs in figures.items()},
        "mean": mean_of(by_seed),
        "std": deviation_of(by_seed),
        "published": None,
    }


def _longest(figures: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    return max(len(runs) for runs in figures.values())


def _show(report: dict[str, Any]) -> None:
    shown = table(
        "category",
        *(name.replace("_", " ") for name in COLUMNS),
        right=tuple(name.replace("_", " ") for name in COLUMNS),
    )
    rows = [*report["categories"].items(), ("mean", report["mean"])]
    if len(report["seeds"]) > 1 and report["shots"]:
        rows.append(("deviation", report["std"]))
    for name, figures in rows:
        shown.add_row(name, *(_cell(column, figures.get(column)) for column in COLUMNS))
    console = stdout()
    draws = f", draws {report['seeds']}" if report["shots"] else ""
    console.print(f"{report['method']}, {report['shots']} references{draws}; {report['machine']}")
    console.print(shown)


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column == "images":
        return f"{value:.0f}"
    return f"{value:.1f}" if column == "ms_per_image" else f"{value:.3f}"
