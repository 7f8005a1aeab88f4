"""``sightline recipe tiles``: a product judged tile by tile, or as a whole again."""

from __future__ import annotations

import json
from dataclasses import replace
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
from adapters.cli.screen import number, plain, stderr, stdout
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.app.store import Store
    from agent.domain.frame import Image
    from agent.domain.recipe import Recipe
    from agent.domain.tiling import Tiling
    from agent.inference.reference_images import ReferenceImages
    from agent.ports import ImageCodec, MediaStore
    from config import Settings


def tiles_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    tiles: Annotated[
        str | None,
        typer.Argument(
            help="Columns x rows, such as 3x2; 1x1: the whole image. Without them nothing changes."
        ),
    ] = None,
    shared_memory: Annotated[
        bool | None,
        typer.Option(
            "--shared-memory/--own-memory",
            help="One memory for all tiles, or one each, for parts that lie at one place to within a few "
            "pixels. By default as it is, at first shared.",
            show_default=False,
        ),
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Of a tile's side, shared with its neighbour.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Judge a product tile by tile, so that small defects of large images are seen.

    Writes a new version with the same references and a threshold of its own, and says how small a defect is
    found. A frame takes about as many times longer as there are tiles.
    """
    from adapters.cli.references import enroll_stored
    from adapters.cli.smallest_defect import measure, sentence, size_of
    from agent.inference.tiled import tiling_of, with_tiles

    if tiles is None and (shared_memory is not None or overlap is not None):
        raise SightlineError("name the tiles too, such as 3x2")

    with open_store(context, config, profile, overrides) as (store, settings):
        sku = stored_sku(store, sku)
        active = store.book.active(sku)
        if active is None:
            raise SightlineError(f"there is no active recipe of {sku!r}; `sightline recipe list` names them")
        if tiles is None:
            _show_found(context, active, store, settings, as_json)
            return
        before = tiling_of(active.parameters)
        tiling = _changed(before, tiles, shared_memory, overlap)
        if tiling == replace(before, tile_levels=()) and "tiles" in active.parameters:
            raise SightlineError(f"{sku!r} version {active.version} is judged in these tiles already")
        composition = composition_of(context)
        images = _images(active, store.media, composition.codec())
        with stderr().status("[dim]loading the model ...[/]"):
            inspector = composition.inspector(settings)
        note = f"judged in {tiling.describe()}, before in {before.describe()}"
        draft = replace(
            with_tiles(active, tiling),
            calibration=None,
            origin="enrollment",
            note=note,
            parent=active.version,
            id=None,
            version=0,
        )
        said = None
        if images:
            enrolled = enroll_stored(inspector, draft, images, settings)
            draft = enrolled.recipe
            seen = measure(inspector, enrolled.prepared, images)
            said = sentence(seen, draft, settings, size_of(images))
        agents = RunningAgents(store)
        recipe = store.book.add(draft)
        record(store, "recipe", f"version {recipe.version} of {sku!r}: {note}", sku)
        agents.wait(sku)
    threshold = None if recipe.calibration is None else recipe.calibration.threshold
    if as_json:
        reply = {"sku": sku, "version": recipe.version, "tiles": tiling.tiles, "threshold": threshold}
        typer.echo(json.dumps({**reply, "said": said}, ensure_ascii=False))
        return
    console = stdout()
    console.print(f"[bold]{plain(sku)}[/]: version {recipe.version} is active, {plain(note)}")
    console.print(
        "[yellow]not calibrated[/]: verdicts are REVIEW until there are eight references"
        if threshold is None
        else f"threshold {number(threshold)}"
    )
    if said is not None:
        console.print(plain(said), soft_wrap=True)


def _show_found(
    context: typer.Context, active: Recipe, store: Store, settings: Settings, as_json: bool
) -> None:
    """How small a defect the version in force finds."""
    from adapters.cli.smallest_defect import measure, sentence, size_of
    from agent.inference.tiled import tiling_of

    composition = composition_of(context)
    images = _images(active, store.media, composition.codec())
    if not images:
        raise SightlineError(f"{active.sku!r} has no references that defects could be drawn on")
    with stderr().status("[dim]loading the model ...[/]"):
        inspector = composition.inspector(settings)
        prepared = inspector.prepare(active, images)
    seen = measure(inspector, prepared, images)
    said = sentence(seen, active, settings, size_of(images))
    if as_json:
        tiles, size = tiling_of(active.parameters).tiles, None if seen is None else seen.size
        reply = {"sku": active.sku, "version": active.version, "tiles": tiles, "smallest_px": size}
        typer.echo(json.dumps({**reply, "said": said}, ensure_ascii=False))
        return
    stdout().print(f"[bold]{plain(active.sku)}[/] version {active.version}: {plain(said)}", soft_wrap=True)


def _changed(before: Tiling, tiles: str, shared: bool | None, overlap: float | None) -> Tiling:
    """Raises SightlineError: the tiles or their overlap cannot be used."""
    from agent.domain.tiling import OWN, SHARED, TileGrid

    memory = before.tile_memory if shared is None else SHARED if shared else OWN
    share = before.tile_overlap if overlap is None else overlap
    try:
        grid = str(TileGrid.parse(tiles))
        return replace(before, tiles=grid, tile_memory=memory, tile_overlap=share, tile_levels=())
    except ValueError as error:
        raise SightlineError(str(error)) from error


class _StoredImages:
    """The references of a recipe in the media folder."""

    def __init__(self, recipe: Recipe, media: MediaStore, codec: ImageCodec) -> None:
        self._recipe, self._media, self._codec = recipe, media, codec

    def read(self, index: int) -> Image:
        """Raises SightlineError."""
        reference = self._recipe.references[index]
        try:
            return self._codec.decode(self._media.get(reference.path))
        except SightlineError as error:
            raise SightlineError(
                f"reference {reference.name!r} cannot be read: {error}; restore it or enroll again"
            ) from error


def _images(recipe: Recipe, media: MediaStore, codec: ImageCodec) -> ReferenceImages:
    """The references, each read when it is asked for."""
    from agent.inference.reference_images import ReferenceImages

    return ReferenceImages(_StoredImages(recipe, media, codec), recipe.shots)
