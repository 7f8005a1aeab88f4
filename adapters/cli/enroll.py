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

from adapters.cli.in_force import RunningAgents
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
    from agent.inference.inspector import Inspector
    from agent.inference.reference_images import ReferenceImages
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
    smallest_defect: Annotated[
        str | None,
        typer.Option(metavar="PX", help="Such as 40px: judge in so many tiles that it is seen."),
    ] = None,
    keep_aspect: Annotated[
        bool,
        typer.Option("--keep-aspect", help="Keep the shape of images that are not square, at the same cost."),
    ] = False,
    method: Method = None,
    bits: Bits = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Write the next recipe version of a product from images of good parts, with its threshold.

    Returns once running agents judge by it from their next frame on.
    """
    from adapters.cli.images import ImageFolder, find
    from adapters.cli.references import enroll_images, read_references
    from adapters.cli.smallest_defect import parse_pixels
    from agent.enrollment.orientation import describe_change
    from agent.methods.parameters import KEEP, with_parameters

    wanted = None if smallest_defect is None else parse_pixels(smallest_defect)

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
        if keep_aspect:
            draft = with_parameters(draft, aspect=KEEP)
        enrolled = enroll_images(inspector, draft, taken.images, settings)
        kept = enrolled.selection.kept if enrolled.selection is not None else range(len(taken))
        enrolled, said = _in_tiles(inspector, enrolled, taken.images.only(kept), settings, wanted)
        notes = (describe_change(active or draft, enrolled.recipe), _tiles_change(active, enrolled.recipe))
        note = "; ".join(each for each in notes if each) or None
        composition.memories(settings, inspector).keep(enrolled.prepared.with_recipe(enrolled.recipe))
        agents = RunningAgents(store)
        recipe = store.book.add(replace(enrolled.recipe, note=note), job=job)
        _show(recipe, enrolled, [taken.files[index] for index in kept], len(files) - len(taken))
        stdout().print(plain(said), soft_wrap=True)
        agents.wait(recipe.sku)
    offer_region(composition, settings, recipe, taken.images, given_options(config, profile, overrides))


def _in_tiles(
    inspector: Inspector,
    enrolled: Enrolled,
    images: ReferenceImages,
    settings: Settings,
    wanted: float | None,
) -> tuple[Enrolled, str]:
    """The references enrolled in tiles in which a defect of ``wanted`` pixels is found, and what is found.

    Tiles are chosen from what is found without them, then tried, and made finer once if that was too hopeful.
    """
    from adapters.cli.references import enroll_stored
    from adapters.cli.smallest_defect import measure, sentence, size_of, tiles_for
    from agent.inference.tiled import tiling_of, with_tiles

    size = size_of(images)
    seen = measure(inspector, enrolled.prepared, images)
    for _ in range(2):
        if wanted is None or (seen is not None and seen.size is not None and seen.size <= wanted):
            break
        tiling = tiling_of(enrolled.recipe.parameters)
        grid = tiles_for(wanted, seen, size, tiling)
        if grid.count <= tiling.grid.count:
            break
        draft = with_tiles(enrolled.recipe, replace(tiling, tiles=str(grid), tile_levels=()))
        again = enroll_stored(inspector, replace(draft, calibration=None), images, settings)
        enrolled = replace(enrolled, recipe=again.recipe, prepared=again.prepared, scores=again.scores)
        seen = measure(inspector, enrolled.prepared, images)
    said = sentence(seen, enrolled.recipe, settings, size)
    if wanted is not None and seen is not None and (seen.size is None or seen.size > wanted):
        said += f"\n{wanted:g} px were asked for, and are not found reliably in these tiles"
    return enrolled, said


def _tiles_change(before: Recipe | None, after: Recipe) -> str | None:
    from agent.inference.tiled import tiling_of

    was, now = (tiling_of(one.parameters if one is not None else {}).describe() for one in (before, after))
    if was == now:
        return None
    return f"judged in {now}" + ("" if before is None else f", before in {was}")


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
    from agent.app.options import default_tiling
    from agent.domain.prompts import GENERIC_NOUN
    from agent.domain.recipe import template_recipe
    from agent.enrollment.orientation import without_found_angles
    from agent.inference.tiled import tile_parameters, with_default_tiles
    from agent.onboarding import noun_of

    active, method = store.book.active(job.sku), settings.inspection.method
    if active is None or renamed or (active.noun == GENERIC_NOUN and noun_of(job) != GENERIC_NOUN):
        first = with_default_tiles(template_recipe(job.sku, method, noun_of(job)), default_tiling(settings))
        parent, regions = (None, first.regions) if active is None else (active.version, active.regions)
        return replace(first, origin="enrollment", parent=parent, regions=regions)
    active = without_found_angles(active, store.book.get)
    if method_chosen and method != active.method:  # what is left are the tiles, whatever the method
        active = replace(active, parameters=tile_parameters(active.parameters))
    active = with_default_tiles(active, default_tiling(settings))
    return replace(
        active,
        method=method if method_chosen else active.method,
        references=(),
        calibration=None,
        origin="enrollment",
        note=None,
        parent=active.version,
    )


def _show(recipe: Recipe, enrolled: Enrolled, files: list[ImageFile], left_out: int) -> None:
    console = stdout()
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
