"""``sightline recipe propose``: the threshold that feedback suggests for a recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.options import AsJson, ConfigFile, Overrides, Profile, open_store, record, stored_sku
from adapters.cli.screen import number, plain, plural, stdout, table
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.app.store import Store
    from agent.calibration.proposal import Proposal, Recorded
    from agent.domain.recipe import Recipe

_LATEST = (
    "SELECT model_digest FROM inspection_history WHERE sku = :sku AND recipe_version = :version"
    " AND score IS NOT NULL ORDER BY received_at DESC LIMIT 1"
)
_RECORDED = (
    "SELECT score, truth, truth_note, recipe_version, model_digest FROM inspection_history"
    " WHERE sku = :sku AND score IS NOT NULL ORDER BY received_at DESC LIMIT :frames"
)


def propose_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the threshold as a new version and inspect with it.")
    ] = False,
    escape_cost: Annotated[
        float, typer.Option(min=0.0, help="How many false alarms one escaped defect is worth.")
    ] = 10.0,
    frames: Annotated[int, typer.Option(min=1, help="Look at this many of the newest frames.")] = 100_000,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Propose a threshold from feedback and show its effect. Writes nothing without --apply."""
    from agent.calibration.proposal import propose

    with open_store(context, config, profile, overrides) as (store, _):
        sku = stored_sku(store, sku)
        recipe = store.book.active(sku)
        if recipe is None:
            raise SightlineError(f"there is no active recipe of {sku!r}; `sightline recipe list` names them")
        if recipe.calibration is None:
            raise SightlineError(
                f"version {recipe.version} of {sku!r} has no threshold that feedback could move; "
                "enroll good parts first (`sightline enroll`)"
            )
        recorded = _recorded(store, recipe, frames)
        proposal = propose(recorded, recipe.calibration, recipe.prompts, escape_cost=escape_cost)
        applied = _apply(store, recipe, proposal) if apply else None
    if as_json:
        typer.echo(json.dumps(_content(recipe, proposal, applied), indent=2, ensure_ascii=False))
    else:
        _show(recipe, proposal, applied)


def _recorded(store: Store, recipe: Recipe, frames: int) -> list[Recorded]:
    """Frames whose scores can be compared with those of ``recipe``: all that scores depend on is the same."""
    from agent.calibration.proposal import Recorded
    from agent.recipes.diff import scored_alike

    versions = {recipe.version}
    for line in store.book.listing(recipe.sku):
        other = None if line.version in versions else store.book.get(recipe.sku, line.version)
        if other is not None and scored_alike(recipe, other):
            versions.add(line.version)
    latest = store.query(_LATEST, {"sku": recipe.sku, "version": recipe.version})
    digest = latest[0]["model_digest"] if latest else None
    rows = store.query(_RECORDED, {"sku": recipe.sku, "frames": frames})
    return [
        Recorded(row["score"], row["truth"], row["truth_note"])
        for row in rows
        if row["recipe_version"] in versions and (digest is None or row["model_digest"] == digest)
    ]


def _apply(store: Store, recipe: Recipe, proposal: Proposal) -> Recipe | None:
    if proposal.calibration is None or recipe.calibration is None:
        return None
    old, new = recipe.calibration.threshold, proposal.calibration.threshold
    judged = plural(proposal.good + proposal.defective, "frame")
    note = f"threshold {old:.4g} moved to {new:.4g} by feedback on {judged}"
    changed = replace(
        recipe,
        calibration=proposal.calibration,
        origin="person",
        note=note,
        parent=recipe.version,
        prompt_selection=None,
        id=None,
        version=0,
    )
    stored = store.book.add(changed)
    record(store, "recipe", f"version {stored.version} of {recipe.sku!r}: {note}", recipe.sku)
    return stored


def _content(recipe: Recipe, proposal: Proposal, applied: Recipe | None) -> dict[str, Any]:
    content = asdict(proposal)
    content["calibration"] = None if proposal.calibration is None else asdict(proposal.calibration)
    return {
        "sku": recipe.sku,
        "version": recipe.version,
        "threshold": None if recipe.calibration is None else recipe.calibration.threshold,
        **content,
        "changed_share": proposal.changed_share,
        "applied": None if applied is None else applied.version,
    }


def _show(recipe: Recipe, proposal: Proposal, applied: Recipe | None) -> None:
    console, calibration = stdout(), proposal.calibration
    judged = proposal.good + proposal.defective
    console.print(
        f"[bold]{plain(recipe.sku)}[/] version {recipe.version}: "
        f"{plural(proposal.recorded, 'frame')} recorded, "
        f"{plural(judged, 'frame')} with feedback ({proposal.good} good, {proposal.defective} defective)"
    )
    if calibration is None or recipe.calibration is None:
        console.print(
            "feedback gives no reason to move the threshold" if judged else "nobody has judged a frame yet"
        )
    else:
        shown = table("", "now", "proposed", right=("now", "proposed"))
        for name, now, then in (
            ("threshold", number(recipe.calibration.threshold), number(calibration.threshold)),
            ("false alarms", str(proposal.before.false_alarms), str(proposal.after.false_alarms)),
            ("escapes", str(proposal.before.escapes), str(proposal.after.escapes)),
            ("in review", str(proposal.before.reviews), str(proposal.after.reviews)),
        ):
            shown.add_row(name, now, then)
        console.print(shown)
        console.print(f"{proposal.changed_share:.1%} of all recorded frames would get another verdict")
    for sentence in proposal.advice:
        console.print(f"[yellow]note:[/] {plain(sentence)}", soft_wrap=True)
    if applied is not None:
        console.print(f"written as version {applied.version}, active")
    elif calibration is not None:
        console.print("nothing was written; --apply writes it as a new version")
