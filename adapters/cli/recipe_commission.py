"""``sightline recipe commission``: the first frames of a product become its references."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from adapters.cli.options import AsJson, ConfigFile, Overrides, Profile, open_store, record, stored_sku
from adapters.cli.screen import plain, plural, stderr, stdout
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.app.store import Store
    from agent.enrollment.first_frames import Commission

_DEFAULT_FRAMES = 20
_LOOK_EVERY_S = 0.5


def commission_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product; its first part may still be to come.")],
    frames: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="How many of its first frames are good; 20 unless asked before.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show how far it is until all were inspected.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Take back what waits for frames that are still to come.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Confirm that the first frames of a product are good: they become its references.

    Look at them: a defective part among them teaches the agent that its defect is normal. Frames that
    feedback called defective are left out. If frames are still to come, even the first, the wish is stored
    and a running agent fulfils it; [bold]--wait[/] and [bold]sightline recipe list[/] show how far it is.
    An agent enrolls the frames within about a minute.
    """
    from agent.enrollment.first_frames import commission

    if cancel and (frames is not None or wait):
        raise SightlineError("--cancel takes back the whole wish; leave --frames and --wait out")
    with open_store(context, config, profile, overrides) as (store, _):
        sku = stored_sku(store, sku)
        if cancel:
            _cancel(store, sku, as_json=as_json)
            return
        before = store.book.commissions().get(sku)
        wanted = frames or before or _DEFAULT_FRAMES
        found = commission(store.book, store.samples, sku, wanted)
        if not found.complete and before != wanted:
            message = f"a person confirmed that the first {wanted} frames of {sku!r} are good; so far {found}"
            record(store, "commission", message, sku)
        if not found.complete and wait:
            found = _follow(store, found)
        elif found.complete:
            message = f"a person confirmed that the first {wanted} frames of {sku!r} are good"
            record(store, "commissioned", message, sku)
    if as_json:
        typer.echo(json.dumps(found.record(), ensure_ascii=False))
    else:
        _show(found)


def _cancel(store: Store, sku: str, *, as_json: bool) -> None:
    if not store.book.drop_commission(sku):
        raise SightlineError(f"nothing waits for frames of {sku!r}; frames that came are references already")
    record(store, "commission", f"the first frames of {sku!r} are not commissioned any more", sku)
    if as_json:
        typer.echo(json.dumps({"sku": sku, "cancelled": True}))
    else:
        stdout().print(f"[bold]{plain(sku)}[/]: taken back")


def _follow(store: Store, found: Commission) -> Commission:
    """Show how far it is until the frames are there, whichever process holds them as references."""
    from agent.enrollment.first_frames import Commission, commissions

    console, sku, wanted = stderr(), found.sku, found.wanted
    columns = (
        TextColumn("first frames of {task.fields[sku]}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=wanted, sku=plain(sku))
        told = -1
        while not found.complete:
            done = len(found.frames)
            progress.update(task, completed=done)
            if not console.is_terminal and done != told:
                console.print(f"{plain(sku)}: {found} first frames", soft_wrap=True)
            told = done
            time.sleep(_LOOK_EVERY_S)
            waiting = commissions(store.book, store.samples, sku)
            # An agent that fulfils the wish drops it; so does a person who takes it back.
            found = (
                waiting[0] if waiting else Commission(sku, wanted, store.samples.first_frames(sku, wanted))
            )
            if not waiting and not found.complete:
                raise SightlineError(f"the commission of {sku!r} was taken back")
    return found


def _show(found: Commission) -> None:
    console, product = stdout(), f"[bold]{plain(found.sku)}[/]"
    if not found.complete:
        console.print(
            f"{product}: {found} first frames were inspected so far; once all are, a running agent enrolls "
            "them. --wait and `sightline recipe list` show how far it is, --cancel takes it back",
            soft_wrap=True,
        )
        return
    first, last = (plain(frame.frame_id) for frame in (found.frames[0], found.frames[-1]))
    console.print(
        f"{product}: {plural(len(found.frames), 'frame')} from {first} to {last} wait for a running agent, "
        "which enrolls them within about a minute",
        soft_wrap=True,
    )
