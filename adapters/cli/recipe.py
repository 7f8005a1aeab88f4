"""``sightline recipe list | show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from adapters.cli.options import ConfigFile, Overrides, Profile, composition_of, configure
from adapters.cli.screen import number, stdout, table
from agent.errors import SightlineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.recipe import Recipe

recipe_commands = typer.Typer(help="Recipes: how each product is inspected.", no_args_is_help=True)

_LIST = "SELECT sku, name, active_version FROM sku ORDER BY sku"
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@recipe_commands.command("list")
def list_command(
    context: typer.Context,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """All products and the recipe that is active for each."""
    settings = configure(config, profile, overrides).settings
    composition = composition_of(context)
    problems = composition.database(settings).check()
    if problems:
        raise SightlineError("; ".join(problems))
    with composition.store(settings, upgrade=False) as store:
        skus = [str(row["sku"]) for row in store.query(_LIST)]
        recipes = [(sku, store.book.active(sku)) for sku in skus]
    if as_json:
        typer.echo(json.dumps([{"sku": sku, **_summary(recipe)} for sku, recipe in recipes], indent=2))
        return
    if not recipes:
        stdout().print("There is no product yet. Enrol one, or let a camera name it.")
        return
    shown = table("sku", "noun", "version", "method", "prompts", "shots", "threshold",
                  right=("version", "shots", "threshold"))  # fmt: skip
    for sku, recipe in recipes:
        if recipe is None:
            shown.add_row(escape(sku), "-", "-", "-", "-", "-", Text("no recipe", style="yellow"))
            continue
        calibration = recipe.calibration
        shown.add_row(
            Text(sku, style="bold"),
            Text(recipe.noun),
            str(recipe.version),
            recipe.method,
            recipe.prompts.source.value,
            str(recipe.shots),
            number(calibration.threshold) if calibration else Text("REVIEW only", style="yellow"),
        )
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
    settings = configure(config, profile, overrides).settings
    composition = composition_of(context)
    problems = composition.database(settings).check()
    if problems:
        raise SightlineError("; ".join(problems))
    with composition.store(settings, upgrade=False) as store:
        recipe = store.book.active(sku) if version is None else store.book.get(sku, version)
    if recipe is None:
        which = "active recipe" if version is None else f"recipe version {version}"
        raise SightlineError(f"there is no {which} of {sku!r}; `sightline recipe list` names what there is")
    content = {"sku": recipe.sku, **_summary(recipe), **_details(recipe)}
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _show(content)


def _summary(recipe: Recipe | None) -> dict[str, Any]:
    if recipe is None:
        return {"version": None}
    calibration = recipe.calibration
    return {
        "version": recipe.version,
        "noun": recipe.noun,
        "method": recipe.method,
        "prompt_source": recipe.prompts.source.value,
        "shots": recipe.shots,
        "threshold": calibration.threshold if calibration else None,
    }


def _details(recipe: Recipe) -> dict[str, Any]:
    calibration = recipe.calibration
    return {
        "calibration": None
        if calibration is None
        else {
            "review_below": calibration.review_below,
            "map_threshold": calibration.map_threshold,
            "samples": calibration.samples,
            "false_alarm_rate": calibration.false_alarm_rate,
            "source": calibration.source,
        },
        "parameters": dict(recipe.parameters),
        "references": [reference.name for reference in recipe.references],
        "prompts": {
            "normal": list(recipe.prompts.normal),
            "anomalous": list(recipe.prompts.anomalous),
            "defects": [defect.name for defect in recipe.prompts.defects],
            "provenance": dict(recipe.prompts.provenance),
        },
    }


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
