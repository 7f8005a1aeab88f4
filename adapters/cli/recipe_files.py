"""``sightline recipe export | import``."""

from __future__ import annotations

import json
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
from adapters.cli.screen import plain, plural, stderr, stdout
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.app.store import Store
    from agent.recipes.import_export import Imported, RecipeTransfer


def export_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    version: Annotated[int | None, typer.Option(min=1, help="By default the active one.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML, or a .zip with the images inside. By default stdout."),
    ] = None,
    with_references: Annotated[
        bool, typer.Option("--with-references", help="Write the images too, into a folder beside FILE.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Write a recipe as YAML, to be edited and imported again as a new version."""
    from adapters.recipes.bundle import write_bundle

    if out is None and with_references:
        raise SightlineError("the images need a folder: name a file with --out")
    with open_store(context, config, profile, overrides) as (store, _):
        transfer = _transfer(context, store)
        recipe = transfer.find(stored_sku(store, sku), version)
        text = transfer.export_text(recipe)
        zipped = out is not None and out.suffix.lower() == ".zip"
        images = transfer.export_images(recipe) if zipped or with_references else None
    reply = {"sku": recipe.sku, "version": recipe.version, "file": None if out is None else str(out)}
    if out is None:
        typer.echo(json.dumps({**reply, "recipe": text}, ensure_ascii=False) if as_json else text, nl=as_json)
        return
    write_bundle(out, text, images)
    if as_json:
        typer.echo(json.dumps({**reply, "images": len(images or ())}, ensure_ascii=False))
        return
    without = f"with {plural(len(images), 'image')}" if images is not None else "without images"
    stdout().print(f"[bold]{plain(recipe.sku)}[/] version {recipe.version}: {plain(str(out))}, {without}")


def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="YAML or .zip, as `sightline recipe export` writes it.")],
    activate: Annotated[bool, typer.Option(help="Inspect with it from now on.")] = True,
    sku: Annotated[
        str | None, typer.Option(help="For this product instead of the one that the file names.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Store an edited recipe as a new version. The version that it was made from stays.

    Returns once running agents judge by it from their next frame on.
    """
    from adapters.recipes.bundle import Bundle

    with open_store(context, config, profile, overrides) as (store, _), Bundle(file) as bundle:
        agents = RunningAgents(store)
        imported = _transfer(context, store).import_text(
            bundle.text, str(file), images=bundle, sku=sku, activate=activate
        )
        recipe = imported.recipe
        if imported.new:
            message = f"version {recipe.version} of {recipe.sku!r} from {file.name}{_state(imported)}"
            record(store, "recipe", "; ".join((message, *imported.remarks)), recipe.sku)
        agents.wait(recipe.sku)
    if as_json:
        reply = {
            "sku": recipe.sku,
            "version": recipe.version,
            "new": imported.new,
            "active": imported.active,
        }
        calibrated = recipe.calibration is not None
        typer.echo(json.dumps({**reply, "calibrated": calibrated, "remarks": imported.remarks}))
        return
    for remark in imported.remarks:
        stderr().print(f"[yellow]note:[/] {plain(remark)}", soft_wrap=True)
    what = "new version" if imported.new else "nothing is new in the file; version"
    stdout().print(f"[bold]{plain(recipe.sku)}[/]: {what} {recipe.version}{_state(imported)}")


def _state(imported: Imported) -> str:
    return ", active" if imported.active else ", not active"


def _transfer(context: typer.Context, store: Store) -> RecipeTransfer:
    from adapters.recipes.codec import RecipeYaml
    from agent.recipes.import_export import RecipeTransfer

    return RecipeTransfer(store.book, store.media, RecipeYaml(), composition_of(context).codec())
