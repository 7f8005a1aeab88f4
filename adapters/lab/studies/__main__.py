"""The command ``python -m adapters.lab.studies``: what the agent promises, measured.

Nothing here is tuned to the products of the simulator that it draws: no model was trained on them, and no
constant was chosen by them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from adapters.cli.screen import Commands, stderr, stdout
from agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.lab.studies.products import StudyProduct
    from adapters.lab.studies.report import Report
    from agent.inference.inspector import Inspector
    from config import Settings

studies = typer.Typer(
    cls=Commands,
    name="python -m adapters.lab.studies",
    help="Studies: what the agent promises, measured.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Products = Annotated[int, typer.Option(min=1, max=10, help="So many of the ten simulated products.")]
Seed = Annotated[int, typer.Option(min=0, help="Other products of the same families, other parts.")]
Size = Annotated[int, typer.Option(min=64, help="Side of simulated frames in pixels.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.", dir_okay=False)
]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write the table there.", dir_okay=False)
]


@studies.command()
def calibration(
    context: typer.Context,
    samples: Annotated[int, typer.Option(min=2, help="Good parts to calibrate from.")] = 20,
    good: Annotated[int, typer.Option(min=1, help="Good parts afterwards, of each product.")] = 2000,
    defective: Annotated[int, typer.Option(min=0, help="Defective ones.")] = 500,
    products: Products = 10,
    seed: Seed = 0,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Photographs instead, as [bold]evaluate[/] reads them: mvtec ..."
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the photographs.")] = None,
    folds: Annotated[
        int,
        typer.Option(min=0, help="Photographs: splits of all good parts, judged in turn; 0: as they lie."),
    ] = 5,
    answers: Annotated[
        bool,
        typer.Option(
            "--answers",
            help="A second table: the same frames in one order, operators answer every FAIL and REVIEW, and "
            "thresholds are recalibrated.",
        ),
    ] = False,
    size: Size = 256,
    method: Method = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """False alarms and caught defects at the threshold that good parts alone have set."""
    from adapters.lab.studies.calibration import Counts, Study, calibrate_on_products, report_of
    from adapters.lab.studies.feedback import answers_report
    from adapters.lab.studies.photographs import calibrate_on_photographs
    from adapters.lab.studies.report import Progress

    if (dataset is None) != (root is None):
        raise ConfigurationError("--dataset and --root belong together: how the photographs lie, and where")
    if answers and dataset is not None:
        raise ConfigurationError("--answers needs more good parts than photographs show; leave out --dataset")
    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    inspector = _inspector(context, settings)
    with Progress() as progress:
        study = Study(inspector, settings, progress)
        if dataset is not None and root is not None:
            rows = calibrate_on_photographs(study, dataset, root, folds, composition_of(context).codec())
            title = f"calibration on {dataset} photographs"
        else:
            chosen = _products(products, seed, size)
            counts = Counts(samples, good, defective)
            rows = calibrate_on_products(study, chosen, counts, seed if answers else None)
            title = f"calibration on {len(chosen)} simulated products, {samples} good parts each, seed {seed}"
    report = report_of(rows, title, settings)
    played = {row.name: row.played for row in rows if row.played is not None}
    more = [answers_report(played, settings.inspection.false_alarm_rate)] if played else []
    for second in more:
        report.figures["answers"] = second.figures
    _give(report, json_file, markdown_file, *more)


@studies.command()
def prompts(
    context: typer.Context,
    frames: Annotated[int, typer.Option(min=2, help="Good parts to try the words on.")] = 16,
    copies: Annotated[int, typer.Option(min=1, help="Copies of each with a synthetic defect.")] = 2,
    good: Annotated[int, typer.Option(min=1, help="Good parts for the true AUROC, of each product.")] = 100,
    defective: Annotated[int, typer.Option(min=1, help="Defective ones.")] = 100,
    shots: Annotated[int, typer.Option(min=0, help="References of the recipes; 0: words alone.")] = 0,
    products: Products = 10,
    seed: Seed = 0,
    size: Size = 256,
    method: Method = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """How often prompt selection picks the words that separate best, judged by real defects of the simulator.

    No language model takes part: fixed sets stand in for what one might write, good and bad.
    """
    from adapters.lab.studies.calibration import Counts, Study
    from adapters.lab.studies.prompts import report_of, select_on_products
    from adapters.lab.studies.report import Progress
    from agent.onboarding.prompt_selection import PromptSelectionPolicy

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    inspector = _inspector(context, settings)
    policy = PromptSelectionPolicy(
        frames=frames, copies=copies, seed=seed, batch=settings.inspection.max_batch
    )
    chosen = _products(products, seed, size)
    with Progress() as progress:
        study = Study(inspector, settings, progress)
        rows = select_on_products(study, chosen, policy, Counts(shots, good, defective))
    _give(report_of(rows, policy, shots, seed, settings), json_file, markdown_file)


@studies.command()
def names(
    context: typer.Context,
    references: Annotated[int, typer.Option(min=8, help="Good parts to enroll, of each product.")] = 12,
    defective: Annotated[int, typer.Option(min=1, help="Defective parts, of each product.")] = 24,
    families: Annotated[
        list[str] | None, typer.Option("--family", metavar="F", help="Only this one; may be repeated.")
    ] = None,
    seed: Seed = 0,
    size: Size = 256,
    dataset: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Photographs with masks instead: mvtec ...")
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the photographs.")] = None,
    method: Method = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """How often the names of defects are right, and what the calibrated margin leaves of them."""
    from adapters.lab.studies.calibration import Study
    from adapters.lab.studies.names import Drawn, name_on_photographs, name_on_products, report_of
    from adapters.lab.studies.report import Progress

    if (dataset is None) != (root is None):
        raise ConfigurationError("--dataset and --root belong together: how the photographs lie, and where")
    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    inspector = _inspector(context, settings)
    with Progress() as progress:
        study = Study(inspector, settings, progress)
        if dataset is not None and root is not None:
            rows = name_on_photographs(study, dataset, root, references, composition_of(context).codec())
        else:
            rows = name_on_products(study, Drawn(families or (), references, defective, seed, size))
    _give(report_of(rows, references, settings), json_file, markdown_file)


def _inspector(context: typer.Context, settings: Settings) -> Inspector:
    with stderr().status("[dim]loading the model ...[/]"):
        return composition_of(context).inspector(settings)


def _products(count: int, seed: int, size: int) -> list[StudyProduct]:
    from adapters.lab.studies.products import study_products

    return study_products(seed, size)[:count]


def _give(report: Report, json_file: Path | None, markdown_file: Path | None, *more: Report) -> None:
    """Show and write them; the figures of the first hold those of the others."""
    for each in (report, *more):
        each.show(stdout())
    document = "\n".join([report.markdown(), *(each.markdown(level=2) for each in more)])
    for file, text in (
        (json_file, json.dumps(report.figures, indent=2, allow_nan=False) + "\n"),
        (markdown_file, document),
    ):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    from agent.app import Application

    studies(obj=Application())
