"""``sightline feedback``: a person's feedback on an inspection."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from adapters.cli.options import AsJson, ConfigFile, Overrides, Profile, name_of, open_store
from adapters.cli.screen import plain, plural, stdout
from agent.domain.errors import SightlineError
from agent.domain.inspection import Feedback

_TRUTHS = ("good", "defective")


def feedback(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[INSPECTION_ID] good|defective", help="The inspection, and what the part is in truth."
        ),
    ],
    frame_id: Annotated[
        str | None,
        typer.Option(parser=name_of, metavar="ID", help="The frame's own id, instead of the inspection's."),
    ] = None,
    part_id: Annotated[
        str | None,
        typer.Option(
            parser=name_of, metavar="ID", help="The part's id, for all its inspections by any camera."
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(metavar="SITE/LINE/CAMERA", help="Whose frame, if several cameras use one id."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who judged it.")] = None,
    note: Annotated[str | None, typer.Option(help="What was seen.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Record the truth about an inspected part. The latest feedback counts; none is overwritten."""
    *named, truth = words
    if truth not in _TRUTHS:
        raise SightlineError(f"a part is good or defective, not {truth!r}")
    if len(named) + (frame_id is not None) + (part_id is not None) != 1:
        raise SightlineError(
            "name one inspection, by its id, with --frame-id or with --part-id, and then good or defective"
        )
    if camera is not None and (named or camera.count("/") != 2):
        raise SightlineError("--camera is SITE/LINE/CAMERA and goes with --frame-id or --part-id")
    given = Feedback(
        truth,
        datetime.now(UTC),
        inspection_id=named[0] if named else None,
        frame_id=frame_id,
        part_id=part_id,
        camera=camera,
        by=by,
        note=note,
    )
    with open_store(context, config, profile, overrides) as (store, _):
        count = 1
        if part_id is not None:
            count = store.history.record_part_feedback(given)
            if not count:
                raise SightlineError(f"no inspection of part {part_id!r} is known")
        elif not store.history.record_feedback(given):
            raise SightlineError(given.refusal(store.history.feedback_matches(given)))
    if as_json:
        answer = {"inspection_id": given.inspection_id, "frame_id": frame_id, "truth": truth}
        more = {} if part_id is None else {"part_id": part_id, "inspections": count}
        typer.echo(json.dumps({**answer, **more}))
    else:
        of = f" ({plural(count, 'inspection')})" if part_id is not None else ""
        stdout().print(f"{plain(named[0] if named else str(frame_id or part_id))}{of}: {truth}")
