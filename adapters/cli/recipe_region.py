"""``sightline recipe region``: which parts of a product's images are inspected."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.in_force import RunningAgents
from adapters.cli.options import (
    AsJson,
    ConfigFile,
    Overrides,
    Profile,
    composition_of,
    open_store,
    record,
    stored_sku,
)
from adapters.cli.region_proposal import given_options, numbers_of, offer_region
from adapters.cli.screen import number, plain, plural, stderr, stdout
from agent.domain.errors import SightlineError
from agent.domain.regions import parse_polygon
from agent.recipes.regions import change_regions, describe_regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.app import Application
    from agent.app.store import Store
    from agent.domain.frame import Image
    from agent.domain.recipe import Recipe
    from config import Settings

_FORM = (
    "x,y,width,height from the upper left corner, or three or more corners x,y,x,y,x,y; fractions, 0 to 1."
)


def region_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help=f"No verdict depends on what lies there: {_FORM}"),
    ] = None,
    inspect: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,W,H", help="Only what lies there is inspected; in the same form."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the regions that there are first.")] = False,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the regions on a reference: JPEG or PNG.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Show the regions of a recipe, or write a new version with other ones. Options may be repeated.

    References and words stay, and the threshold is set again from the references. Returns once running
    agents judge by the new version from their next frame on.
    """
    inspected = [parse_polygon(text) for text in inspect or ()]
    ignored = [parse_polygon(text) for text in ignore or ()]
    with open_store(context, config, profile, overrides) as (store, settings):
        sku = stored_sku(store, sku)
        active = store.book.active(sku)
        if active is None:
            raise SightlineError(f"there is no active recipe of {sku!r}; `sightline recipe list` names them")
        draft = change_regions(active, inspect=inspected, ignore=ignored, clear=clear)
        recipe = active
        if draft is not active:
            recipe = _stored(composition_of(context), store, settings, active, draft)
        if image is not None:
            _draw(composition_of(context), store, recipe, image)
        _show(recipe, changed=draft is not active, as_json=as_json, image=image)
        if not (recipe.regions or clear or as_json):
            images = _references(composition_of(context), store, recipe)
            options = given_options(config, profile, overrides)
            offer_region(composition_of(context), settings, recipe, images, options)


def _stored(
    composition: Application, store: Store, settings: Settings, active: Recipe, draft: Recipe
) -> Recipe:
    """The next version, its threshold set again if there are references."""
    from agent.app.options import calibration_policy
    from agent.enrollment.enroll import enroll
    from agent.enrollment.selection import SelectionPolicy
    from agent.onboarding.naming import name_defects

    if draft.references:
        images = _references(composition, store, draft)
        with stderr().status("[dim]loading the model ...[/]"):
            inspector = composition.inspector(settings)
        with stderr().status(f"[dim]scoring {plural(len(images), 'reference')} ...[/]"):
            good = store.samples.called_good([one.path for one in draft.references])
            keep = SelectionPolicy.keeping_all([one.sha256 for one in draft.references if one.path in good])
            enrolled = enroll(inspector, draft, images, policy=calibration_policy(settings), selection=keep)
            draft = name_defects(inspector, enrolled, images).recipe
    before, after = active.calibration, draft.calibration
    if before is not None and after is not None:
        person = ", which a person had chosen," if active.origin == "person" else ""
        moved = f"threshold set from {before.threshold:.4g}{person} to {after.threshold:.4g}"
        draft = replace(draft, note=f"{draft.note}; {moved}")
    if store.book.active_version(active.sku) != active.version:
        raise SightlineError(
            f"{active.sku!r} has got another version meanwhile; look at it, then repeat this"
        )
    agents = RunningAgents(store)
    recipe = store.book.add(draft)
    record(store, "recipe", f"version {recipe.version} of {recipe.sku!r}: {recipe.note}", recipe.sku)
    agents.wait(recipe.sku)
    return recipe


def _draw(composition: Application, store: Store, recipe: Recipe, file: Path) -> None:
    if not recipe.references:
        raise SightlineError(f"{recipe.sku!r} has no reference to draw the regions on; leave --image out")
    shown = _references(composition, store, recipe)[0]
    file.write_bytes(composition.codec().encode_regions(shown, recipe.regions, file.suffix))


def _references(composition: Application, store: Store, recipe: Recipe) -> Sequence[Image]:
    from agent.recipes.cache import stored_images

    return stored_images(recipe.references, store.media, composition.codec())


def _show(recipe: Recipe, *, changed: bool, as_json: bool, image: Path | None) -> None:
    calibration = recipe.calibration
    if as_json:
        reply = {
            "sku": recipe.sku,
            "version": recipe.version,
            "new": changed,
            "regions": recipe.regions.record(),
            "threshold": None if calibration is None else calibration.threshold,
        }
        typer.echo(json.dumps(reply, ensure_ascii=False))
        return
    console = stdout()
    state = f"recipe version {recipe.version}, active" if changed else f"version {recipe.version}"
    console.print(f"[bold]{plain(recipe.sku)}[/]: {state}, {describe_regions(recipe.regions)}")
    for option, polygons in (("--inspect", recipe.regions.inspect), ("--ignore", recipe.regions.ignore)):
        for polygon in polygons:
            console.print(f"  {option} {numbers_of(polygon)}", soft_wrap=True)
    if changed:
        without = "[yellow]not calibrated[/]: verdicts are REVIEW"
        console.print(without if calibration is None else f"threshold {number(calibration.threshold)}")
    if image is not None:
        console.print(f"drawn in {plain(str(image))}")
