"""``sightline recipe list | show | activate``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from adapters.cli.options import ConfigFile, Overrides, Profile
from adapters.cli.recipe_commission import commission_command
from adapters.cli.recipe_files import export_command, import_command
from adapters.cli.recipe_proposal import propose_command
from adapters.cli.screen import number, stdout, table
from adapters.cli.stores import AsJson, open_store, tell
from agent.domain.errors import SightlineError
from agent.recipes.view import listed
from agent.recipes.view import shown as shown_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.ports import OnboardingRecord

recipe_commands = typer.Typer(help="Recipes: how each product is inspected.", no_args_is_help=True)
recipe_commands.command("export")(export_command)
recipe_commands.command("import")(import_command)
recipe_commands.command("commission")(commission_command)
recipe_commands.command("propose")(propose_command)

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
    """All versions of all recipes, those kept and not used too."""
    with open_store(context, config, profile, overrides) as (store, _):
        lines = store.book.listing(sku)
        skus = [str(row["sku"]) for row in store.query(_SKUS)]
    without = [one for one in skus if one not in {line.sku for line in lines} and sku in (None, one)]
    if as_json:
        found = [listed(line) for line in lines] + [{"sku": one, "version": None} for one in without]
        typer.echo(json.dumps(sorted(found, key=lambda one: str(one["sku"])), indent=2, ensure_ascii=False))
        return
    if not lines and not without:
        stdout().print("There is no product yet. Enroll one, or let a camera name it.")
        return
    shown = table("sku", "version", "", "noun", "method", "prompts", "shots", "threshold", "from", "note",
                  right=("version", "shots", "threshold"))  # fmt: skip
    for line in lines:
        shown.add_row(
            Text(line.sku, style="bold" if line.active else ""),
            str(line.version),
            Text("active", style="green") if line.active else "",
            Text(line.noun),
            line.method,
            line.prompt_source,
            str(line.shots),
            Text("REVIEW only", style="yellow") if line.threshold is None else number(line.threshold),
            line.origin if line.margin is None else f"{line.origin} {line.margin:+.3f}",
            Text(line.note or ""),
        )
    for one in without:
        shown.add_row(escape(one), "-", "", "-", "-", "-", "-", Text("no recipe", style="yellow"), "-", "")
    stdout().print(shown)


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
    """One recipe: words, references, parameters, calibration."""
    with open_store(context, config, profile, overrides) as (store, _):
        recipe = store.book.active(sku) if version is None else store.book.get(sku, version)
        active = store.book.active_version(sku)
        onboarding = store.desk.record(sku)
    if recipe is None:
        which = "active recipe" if version is None else f"recipe version {version}"
        raise SightlineError(f"there is no {which} of {sku!r}; `sightline recipe list` names what there is")
    content = {**shown_recipe(recipe, active=recipe.version == active), **_onboarding(onboarding)}
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
    """Make a version the active one: running agents take it up between two frames."""
    with open_store(context, config, profile, overrides) as (store, _):
        before = store.book.active_version(sku)
        store.book.activate(sku, version)
        tell(store, "recipe-activated", f"version {version} of {sku!r} is active, before it {before}", sku)
    if as_json:
        typer.echo(json.dumps({"sku": sku, "version": version, "before": before}))
    else:
        stdout().print(f"[bold]{escape(sku)}[/]: version {version} is active, before it {before}")


def _onboarding(record: OnboardingRecord | None) -> dict[str, Any]:
    """How far the language model's words have come, where one was asked."""
    if record is None:
        return {}
    told = {"state": record.state.value, "reason": record.reason, "attempts": record.attempts}
    if record.next_attempt_at is not None:
        told["next_attempt_at"] = record.next_attempt_at.isoformat(timespec="seconds")
    return {"onboarding": told}


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
