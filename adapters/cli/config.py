"""``sightline config show | schema``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from adapters.cli.options import ConfigFile, Overrides, Profile, configure
from adapters.cli.screen import Commands
from config import json_schema, show

config_commands = typer.Typer(
    cls=Commands, help="The configuration in force, and its schema.", no_args_is_help=True
)


@config_commands.command("show")
def show_command(config: ConfigFile = None, profile: Profile = None, overrides: Overrides = None) -> None:
    """Print the configuration in force as YAML, secrets masked, each value with its source."""
    loaded = configure(config, profile, overrides)
    typer.echo(show(loaded.settings, loaded.sources), nl=False)


@config_commands.command("schema")
def schema_command(
    verdict: Annotated[bool, typer.Option("--verdict", help="Of the verdict message instead.")] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Print the JSON Schema of the configuration file."""
    configure(config, profile, overrides)
    typer.echo(json.dumps(_verdict_schema() if verdict else json_schema(), indent=2, ensure_ascii=False))


def _verdict_schema() -> dict[str, object]:
    from adapters.messages.outgoing import verdict_schema

    return verdict_schema()
