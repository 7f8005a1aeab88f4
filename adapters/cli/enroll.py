"""``sightline enroll``: good parts in, a calibrated recipe out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from adapters.cli.options import (
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
)
from adapters.cli.screen import number, plural, stderr, stdout

if TYPE_CHECKING:
    from adapters.cli.composition import Store
    from adapters.cli.enrolment import Photograph
    from agent.enrolment import Enrolled
    from agent.frame import Job
    from agent.recipe import Recipe

_MOST_UNUSUAL = 2


def enroll(
    context: typer.Context,
    sku: Annotated[str, typer.Option(metavar="S", help="The product, as the factory names it.")],
    references: Annotated[
        Path, typer.Option(metavar="DIR", help="Photographs of good parts, eight or more.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="N", help='What people call it, such as "gear"; prompts use it.')
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="T", help="What a good one looks like.")] = None,
    method: Method = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Write the next recipe version of a product from photographs of good parts, with its threshold.

    A running agent takes the new version up with its next frame.
    """
    from adapters.cli import pictures
    from adapters.cli.enrolment import enrol_pictures, read_references, stored
    from agent.frame import Job
    from agent.onboarding import noun_of

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    composition = composition_of(context)
    job = _job(sku, name, description)
    files = pictures.find([references])
    photographs = read_references(files, composition.decoder(settings))
    with stderr().status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
    with composition.store(settings) as store:
        store.book.register(job)
        known = store.book.job(sku) or job
        draft = _draft(store, sku, name or noun_of(Job(sku, known.name)), settings.inspection.method)
        draft = replace(draft, references=stored(photographs, store.media))
        enrolled = enrol_pictures(inspector, draft, photographs, settings)
        recipe = store.book.add(enrolled.recipe)
    _show(recipe, enrolled, photographs, len(files) - len(photographs))


def _job(sku: str, name: str | None, description: str | None) -> Job:
    from agent.errors import SightlineError
    from agent.frame import Job

    try:
        return Job(sku, name=name, description=description)
    except ValueError as error:
        raise SightlineError(str(error)) from error


def _draft(store: Store, sku: str, noun: str, method: str) -> Recipe:
    """The active recipe without its references, or a first one from the template."""
    from agent.cabinet import generic_recipe

    active = store.book.active(sku)
    if active is None or active.noun != noun or active.method != method:
        return generic_recipe(sku, method, noun)
    return replace(active, references=(), calibration=None)


def _show(recipe: Recipe, enrolled: Enrolled, photographs: list[Photograph], left_out: int) -> None:
    console = stdout()
    without = f", {left_out} left out" if left_out else ""
    console.print(
        f"[bold]{escape(recipe.sku)}[/] ({escape(recipe.noun)}): recipe version {recipe.version} with "
        f"{plural(recipe.shots, 'reference')}{without}, active"
    )
    calibration = recipe.calibration
    if calibration is None:
        console.print(
            "[yellow]not calibrated[/]: verdicts are REVIEW until there are eight references, "
            f"now {recipe.shots}"
        )
    else:
        console.print(
            f"threshold {number(calibration.threshold)}, REVIEW from {number(calibration.review_below)}, "
            f"aiming at {calibration.false_alarm_rate:.1%} false alarms\nset by {calibration.source}"
        )
    if enrolled.scores:
        console.print(
            f"leave-one-out scores {number(min(enrolled.scores))} to {number(max(enrolled.scores))}; "
            "the most unusual, worth a look:"
        )
        ranked = sorted(zip(enrolled.scores, photographs, strict=True), key=lambda one: -one[0])
        for score, photograph in ranked[:_MOST_UNUSUAL]:
            console.print(f"  {number(score)}  {escape(photograph.file.name)}")
