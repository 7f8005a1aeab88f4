"""``sightline recipe commission``: the first frames of a product become its references."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from adapters.cli.options import ConfigFile, Overrides, Profile
from adapters.cli.screen import plural, stdout
from adapters.cli.stores import AsJson, open_store, tell
from agent.enrollment.first_frames import enroll_first_frames


def commission_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    frames: Annotated[int, typer.Option(min=1, max=1000, help="How many of its first frames are good.")] = 20,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Vouch for the first frames of a product: they become its references.

    Look at them first: a defective part among them teaches the agent that its defect is normal. Those that
    feedback called defective are passed over. A running agent enrolls them within a minute or so.
    """
    with open_store(context, config, profile, overrides) as (store, _):
        found = enroll_first_frames(store.book, store.samples, sku, frames)
        tell(store, "commissioned", f"a person vouches for the first {len(found)} frames of {sku!r}", sku)
    if as_json:
        typer.echo(json.dumps({"sku": sku, "frames": [frame.frame_id for frame in found]}))
        return
    stdout().print(
        f"[bold]{escape(sku)}[/]: {plural(len(found), 'frame')} from {escape(found[0].frame_id)} to "
        f"{escape(found[-1].frame_id)} wait to be enrolled; an agent takes them up within a minute or so"
    )
