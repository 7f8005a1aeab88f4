"""``sightline enroll``: good parts in, a calibrated recipe out."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.options import (
    Bits,
    ConfigFile,
    Method,
    Overrides,
    Profile,
    chosen_method,
    composition_of,
    configure,
    name_of,
    stored_sku,
)
from adapters.cli.region_proposal import given_options, offer_region
from adapters.cli.screen import ScreenEvents, number, plain, plural, stderr, stdout

if TYPE_CHECKING:
    from adapters.cli.images import ImageFile
    from agent.app.store import Store
    from agent.domain.frame import Job
    from agent.domain.recipe import Recipe
    from agent.enrollment.enroll import Enrolled
    from config import Settings

_MOST_UNUSUAL = 2


def enroll(
    context: typer.Context,
    sku: Annotated[str, typer.Option(metavar="S", help="The product, as the factory names it.")],
    references: Annotated[Path, typer.Option(metavar="DIR", help="Images of good parts, eight or more.")],
    name: Annotated[
        str | None, typer.Option(metavar="N", help='What it is called, such as "gear"; prompts use it.')
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="T", help="What a good one looks like.")] = None,
    method: Method = None,
    bits: Bits = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Write the next recipe version of a product from images of good parts, with its threshold.

    A running agent uses the new version from its next frame on.
    """
    from adapters.cli.images import ImageFolder, find
    from adapters.cli.references import enroll_images, read_references
    from agent.enrollment.orientation import describe_change

    settings = configure(config, profile, [*(overrides or ()), *chosen_method(method)]).settings
    composition = composition_of(context)
    job = _job(name_of(sku), name, description)
    files = find([references])
    with stderr().status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
    folder = ImageFolder(files, composition.decoder(settings, bits, ScreenEvents()))
    taken = read_references(folder, inspector, settings.inspection.method)
    with composition.store(settings) as store, _claimed(store, stored_sku(store, sku), settings):
        job = replace(job, sku=stored_sku(store, sku))
        before = store.book.job(job.sku)
        _warn_of_case(job.sku, store.book.skus())
        active = store.book.active(job.sku)
        renamed = name is not None and before is not None and name != before.name
        draft = _draft(store, _with_known(job, before), settings, method is not None, renamed=renamed)
        draft = replace(draft, references=taken.stored(store.media))
        enrolled = enroll_images(inspector, draft, taken.images, settings)
        note = describe_change(active or draft, enrolled.recipe)
        recipe = store.book.add(replace(enrolled.recipe, note=note), job=job)
    _show(recipe, enrolled, taken.files, len(files) - len(taken))
    offer_region(composition, settings, recipe, taken.images, given_options(config, profile, overrides))


def _job(sku: str, name: str | None, description: str | None) -> Job:
    from agent.domain.errors import SightlineError
    from agent.domain.frame import Job

    try:
        return Job(sku, name=name, description=description)
    except ValueError as error:
        raise SightlineError(str(error)) from error


def _warn_of_case(sku: str, others: Sequence[str]) -> None:
    from agent.domain.names import differs_by_case

    alike = [] if sku in others else differs_by_case(sku, others)
    if alike:
        stderr().print(
            f"[yellow]note:[/] {plain(sku)} is a new product; only upper and lower case tell it from "
            f"{plain(alike[0])}",
            soft_wrap=True,
        )


def _with_known(job: Job, known: Job | None) -> Job:
    """The job with the name and description that are stored, unless it brings its own."""
    if known is None:
        return job
    return replace(known, name=job.name or known.name, description=job.description or known.description)


@contextmanager
def _claimed(store: Store, sku: str, settings: Settings) -> Iterator[None]:
    """Claim a product without a recipe: agents that meet it meanwhile leave its first version to us."""
    name = f"enroll-{secrets.token_hex(4)}"
    new = store.book.active_version(sku) is None and store.claims.record(sku) is None
    if new:
        store.claims.claim(sku, name, settings.onboarding.lease.total_seconds(), datetime.now(UTC))
    try:
        yield
    finally:
        if new:
            store.claims.withdraw(sku, name)


def _draft(store: Store, job: Job, settings: Settings, method_chosen: bool, *, renamed: bool) -> Recipe:
    """The active recipe without its references, or a first one from the template.

    Words that a language model or a person wrote stay unless the product's name has changed; the method stays
    unless --method names another. How the parts lie is found again unless a person chose the angles.
    """
    from agent.domain.prompts import GENERIC_NOUN
    from agent.domain.recipe import template_recipe
    from agent.enrollment.orientation import without_found_angles
    from agent.onboarding import noun_of

    active, method = store.book.active(job.sku), settings.inspection.method
    if active is None or renamed or (active.noun == GENERIC_NOUN and noun_of(job) != GENERIC_NOUN):
        first = template_recipe(job.sku, method, noun_of(job))
        parent, regions = (None, first.regions) if active is None else (active.version, active.regions)
        return replace(first, origin="enrollment", parent=parent, regions=regions)
    active = without_found_angles(active, store.book.get)
    return replace(
        active,
        method=method if method_chosen else active.method,
        parameters={} if method_chosen and method != active.method else active.parameters,
        references=(),
        calibration=None,
        origin="enrollment",
        note=None,
        parent=active.version,
    )


def _show(recipe: Recipe, enrolled: Enrolled, files: list[ImageFile], left_out: int) -> None:
    console = stdout()
    kept = enrolled.selection.kept if enrolled.selection is not None else range(len(files))
    files = [files[index] for index in kept]
    without = f", {left_out} left out" if left_out else ""
    console.print(
        f"[bold]{plain(recipe.sku)}[/] ({plain(recipe.noun)}): recipe version {recipe.version} with "
        f"{plural(recipe.shots, 'reference')}{without}, active"
    )
    if recipe.note is not None:
        console.print(plain(recipe.note))
    calibration = recipe.calibration
    if calibration is None:
        console.print(
            "[yellow]not calibrated[/]: verdicts are REVIEW until there are eight references, "
            f"now {recipe.shots}"
        )
    else:
        console.print(
            f"threshold {number(calibration.threshold)}, REVIEW from {number(calibration.review_below)}, "
            f"aimed at {calibration.false_alarm_rate:.1%} false alarms\nset by {plain(calibration.source)}"
        )
    if enrolled.scores:
        console.print(
            f"leave-one-out scores {number(min(enrolled.scores))} to {number(max(enrolled.scores))}; "
            "the most unusual, worth a look:"
        )
        ranked = sorted(zip(enrolled.scores, files, strict=True), key=lambda one: -one[0])
        for score, file in ranked[:_MOST_UNUSUAL]:
            console.print(f"  {number(score)}  {plain(file.name)}")
