"""``sightline recipe threshold | add-reference``: what a person decides becomes the next version."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.in_force import RunningAgents
from adapters.cli.options import (
    AsJson,
    ConfigFile,
    Overrides,
    Profile,
    composition_of,
    name_of,
    open_store,
    record,
    stored_sku,
)
from adapters.cli.screen import number, plain, plural, stderr, stdout
from agent.domain.errors import RecipeError, SightlineError

if TYPE_CHECKING:
    from agent.app import Application
    from agent.app.store import Store
    from agent.domain.recipe import Recipe, Reference
    from agent.enrollment.enroll import Enrolled
    from config import Settings

By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it, for the note and the rows.")]


def threshold_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    threshold: Annotated[float, typer.Argument(help="A score above this FAILs.")],
    review: Annotated[
        float | None,
        typer.Option(help="Scores from here up to the threshold are REVIEW. By default in proportion."),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Choose the threshold of a product: the next version, with the same memory.

    Returns once running agents judge by it from their next frame on. No recalibration replaces it until
    somebody enrolls references or activates another version.
    """
    from agent.recipes.threshold import choose_threshold

    with open_store(context, config, profile, overrides) as (store, _):
        sku = stored_sku(store, sku)
        agents = RunningAgents(store)
        chosen = choose_threshold(store.book, sku, threshold, review, by)
        recipe = chosen.recipe
        if chosen.new:
            record(store, "recipe", f"version {recipe.version} of {sku!r}: {recipe.note}", sku)
        agents.wait(sku)
    calibration = recipe.calibration
    if as_json:
        content = {
            "sku": sku,
            "version": recipe.version,
            "new": chosen.new,
            "threshold": calibration.threshold if calibration else None,
            "review_below": calibration.review_below if calibration else None,
            "note": recipe.note,
        }
        typer.echo(json.dumps(content, ensure_ascii=False))
    elif chosen.new:
        stdout().print(f"[bold]{plain(sku)}[/]: version {recipe.version}, active; {plain(recipe.note or '')}")
    else:
        stdout().print(f"[bold]{plain(sku)}[/]: version {recipe.version} has this threshold already")


def add_reference_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    frame_id: Annotated[
        list[str],
        typer.Option(parser=name_of, metavar="F", help="An inspected frame that is good; may be repeated."),
    ],
    camera: Annotated[
        str | None,
        typer.Option(metavar="SITE/LINE/CAMERA", help="Whose frames, if several cameras use one id."),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Learn from inspected frames that are good: they become references of the next version.

    Look at them first. The version is calibrated anew and active: this returns once running agents judge by
    it from their next frame on. The frames are recorded as called good, too.
    """
    from agent.enrollment.confirmed_frames import confirmed_references

    if camera is not None and camera.count("/") != 2:
        raise SightlineError("--camera is SITE/LINE/CAMERA")
    with open_store(context, config, profile, overrides) as (store, settings):
        sku = stored_sku(store, sku)
        base = store.book.active(sku)
        if base is None:
            raise RecipeError(f"there is no active recipe of {sku!r}; enroll good parts first")
        found = confirmed_references(store.book, store.samples, sku, frame_id, camera)
        enrolled = _enrolled(composition_of(context), store, settings, base, tuple(found.values()))
        now = datetime.now(UTC)
        for inspection_id in found:
            store.samples.call_good(inspection_id, now, by)
        agents = RunningAgents(store)
        recipe = store.book.add(enrolled.recipe)
        record(store, "recipe", f"version {recipe.version} of {sku!r}: {recipe.note}", sku)
        agents.wait(sku)
    _show_added(recipe, enrolled, [one.name for one in found.values()], as_json=as_json)


def _enrolled(
    composition: Application,
    store: Store,
    settings: Settings,
    base: Recipe,
    references: tuple[Reference, ...],
) -> Enrolled:
    from agent.app.options import calibration_policy, orientation_policy
    from agent.enrollment.enroll import add_references
    from agent.enrollment.orientation import without_found_angles
    from agent.onboarding.naming import name_defects

    codec, known = composition.codec(), without_found_angles(base, store.book.get)
    images = []
    for one in (*known.references, *references):
        try:
            images.append(codec.decode(store.media.get(one.path)))
        except SightlineError as error:
            raise RecipeError(f"reference {one.name!r} cannot be read: {error}; enroll again") from error
    good = store.samples.called_good([one.path for one in known.references])
    with stderr().status(f"[dim]enrolling {plural(len(images), 'reference')} ...[/]"):
        inspector = composition.inspector(settings)
        enrolled = add_references(
            inspector,
            known,
            references,
            images,
            policy=calibration_policy(settings),
            earlier=[one.sha256 for one in known.references if one.path in good],
            orientation=orientation_policy(settings),
        )
        return name_defects(inspector, enrolled, images)


def _show_added(recipe: Recipe, enrolled: Enrolled, names: list[str], *, as_json: bool) -> None:
    calibration = recipe.calibration
    sentences = enrolled.selection.sentences if enrolled.selection is not None else ()
    if as_json:
        content = {
            "sku": recipe.sku,
            "version": recipe.version,
            "frames": names,
            "shots": recipe.shots,
            "threshold": calibration.threshold if calibration else None,
            "review_below": calibration.review_below if calibration else None,
            "note": recipe.note,
            "remarks": list(sentences),
        }
        typer.echo(json.dumps(content, ensure_ascii=False))
        return
    console = stdout()
    console.print(
        f"[bold]{plain(recipe.sku)}[/]: recipe version {recipe.version} with "
        f"{plural(recipe.shots, 'reference')}, active"
    )
    if calibration is None:
        console.print("[yellow]not calibrated[/]: verdicts are REVIEW until there are eight references")
    else:
        console.print(
            f"threshold {number(calibration.threshold)}, REVIEW from {number(calibration.review_below)}\n"
            f"set by {plain(calibration.source)}"
        )
    for sentence in (recipe.note or "", *sentences):
        console.print(plain(sentence), soft_wrap=True)
