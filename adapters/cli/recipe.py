"""``sightline recipe list | show | activate``; the other commands on recipes have files of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from adapters.cli.in_force import RunningAgents
from adapters.cli.options import AsJson, ConfigFile, Overrides, Profile, open_store, record, stored_sku
from adapters.cli.recipe_changes import add_reference_command, threshold_command
from adapters.cli.recipe_commission import commission_command
from adapters.cli.recipe_files import export_command, import_command
from adapters.cli.recipe_proposal import propose_command
from adapters.cli.recipe_region import region_command
from adapters.cli.recipe_tiles import tiles_command
from adapters.cli.screen import Commands, number, plain, stdout, table
from agent.domain.errors import SightlineError
from agent.recipes.view import listing_record, recipe_record, remarks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.ports import OnboardingRecord

recipe_commands = typer.Typer(
    cls=Commands, help="Recipes: how each product is inspected.", no_args_is_help=True
)
recipe_commands.command("commission")(commission_command)
recipe_commands.command("export")(export_command)
recipe_commands.command("import")(import_command)
recipe_commands.command("propose")(propose_command)
recipe_commands.command("threshold")(threshold_command)
recipe_commands.command("add-reference")(add_reference_command)
recipe_commands.command("region")(region_command)
recipe_commands.command("tiles")(tiles_command)

_SKUS = "SELECT sku FROM sku ORDER BY sku"


@recipe_commands.command("list")
def list_command(
    context: typer.Context,
    sku: Annotated[str | None, typer.Argument(help="Only this product.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """List all versions of all recipes, also those that are not active."""
    from agent.enrollment.first_frames import commissions

    with open_store(context, config, profile, overrides) as (store, _):
        sku = None if sku is None else stored_sku(store, sku)
        lines = store.book.listing(sku)
        waiting = commissions(store.book, store.samples, sku)
        skus = [str(row["sku"]) for row in store.query(_SKUS)]
    without = [one for one in skus if one not in {line.sku for line in lines} and sku in (None, one)]
    if as_json:
        found = [listing_record(line) for line in lines] + [{"sku": one, "version": None} for one in without]
        typer.echo(json.dumps(sorted(found, key=lambda one: str(one["sku"])), indent=2, ensure_ascii=False))
        return
    if not lines and not without and not waiting:
        stdout().print("There is no product yet. Enroll one, or let a camera send its first frame.")
        return
    numbers = ("version", "shots", "threshold")
    shown = table("sku", "version", "noun", "method", "prompts", "shots", "threshold", "from",
                  right=numbers, whole=(*numbers, "method", "prompts", "from"))  # fmt: skip
    for line in lines:
        shown.add_row(
            Text(line.sku, style="bold" if line.active else ""),
            Text(f"active {line.version}", style="green") if line.active else str(line.version),
            Text(line.noun),
            line.method,
            line.prompt_source,
            str(line.shots),
            Text("REVIEW only", style="yellow") if line.threshold is None else number(line.threshold),
            line.origin.replace("-", "-\n") + ("" if line.margin is None else f"\n{line.margin:+.3f}"),
        )
    for one in without:
        shown.add_row(one, "-", "-", "-", "-", "-", Text("no recipe", style="yellow"), "-")
    if lines or without:
        stdout().print(shown)
    for line in lines:
        if remarks(line):  # below the table: a sentence needs the whole width
            stdout().print(f"[bold]{plain(line.sku)}[/] version {line.version}: {plain(remarks(line))}")
    for one_of in waiting:
        stdout().print(f"{plain(one_of.sku)}: {one_of} first frames inspected, which become its references")


@recipe_commands.command("show")
def show_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    version: Annotated[int | None, typer.Option(min=1, help="By default the active one.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Show one recipe: words, references, parameters, calibration."""
    with open_store(context, config, profile, overrides) as (store, _):
        sku = stored_sku(store, sku)
        recipe = store.book.active(sku) if version is None else store.book.get(sku, version)
        active = store.book.active_version(sku)
        onboarding = store.claims.record(sku)
        changed = {line.version for line in store.book.listing(sku) if line.model_changed}
    if recipe is None:
        which = "active recipe" if version is None else f"recipe version {version}"
        raise SightlineError(f"there is no {which} of {sku!r}; `sightline recipe list` names what there is")
    found = recipe_record(recipe, active=recipe.version == active, model_changed=recipe.version in changed)
    content = {**found, **_onboarding(onboarding)}
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _show(content)


@recipe_commands.command("activate")
def activate_command(
    context: typer.Context,
    sku: Annotated[str, typer.Argument(help="The product.")],
    version: Annotated[int, typer.Argument(min=1, help="The version to inspect with from now on.")],
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Make a version the active one. Returns once running agents judge by it from their next frame on."""
    with open_store(context, config, profile, overrides) as (store, _):
        sku = stored_sku(store, sku)
        before = store.book.active_version(sku)
        agents = RunningAgents(store)
        store.book.activate(sku, version)
        message = f"version {version} of {sku!r} is active, before it {before}"
        record(store, "recipe-activated", message, sku)
        agents.wait(sku)
    if as_json:
        typer.echo(json.dumps({"sku": sku, "version": version, "before": before}))
    else:
        stdout().print(f"[bold]{plain(sku)}[/]: version {version} is active, before it {before}")


def _onboarding(onboarding: OnboardingRecord | None) -> dict[str, Any]:
    """The state of the language model's description, if one was requested."""
    if onboarding is None:
        return {}
    state = {"state": onboarding.state.value, "reason": onboarding.reason, "attempts": onboarding.attempts}
    if onboarding.next_attempt_at is not None:
        state["next_attempt_at"] = onboarding.next_attempt_at.isoformat(timespec="seconds")
    return {"onboarding": state}


def _show(content: Mapping[str, Any]) -> None:
    """As YAML, long lists shortened."""
    import yaml

    short = dict(content)
    prompts = dict(content["prompts"])
    for side in ("normal", "anomalous"):
        words = prompts[side]
        if len(words) > 4:
            prompts[side] = [*words[:3], f"... and {len(words) - 3} more (--json shows all)"]
    short["prompts"] = prompts
    typer.echo(yaml.safe_dump(short, sort_keys=False, allow_unicode=True, width=100), nl=False)
