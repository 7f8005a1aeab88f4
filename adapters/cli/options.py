"""Options that every command has, and the configuration that they lead to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.observability import logs
from config import Loaded, load

if TYPE_CHECKING:
    from adapters.cli.composition import Composition

_PANEL = "Configuration"

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="YAML file with what differs.", rich_help_panel=_PANEL
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="P",
        help="Defaults to start from: a name or a file.",
        rich_help_panel=_PANEL,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any configuration key; may be repeated.", rich_help_panel=_PANEL
    ),
]
Method = Annotated[
    str | None,
    typer.Option("--method", metavar="M", help="How to score; as [bold]inspection.method[/]."),
]


def configure(
    config: Path | None,
    profile: str | None,
    overrides: Sequence[str] | None,
    *,
    own: Sequence[str] = (),
    level: str | None = "WARNING",
) -> Loaded:
    """The configuration in force, and logging as it asks for.

    Args:
        own: ``key=value`` of the command itself; the user's ``--set`` stands over them.
        level: the least that is logged unless a level is asked for; None: what the configuration says.

    Raises:
        ConfigurationError: everything that is wrong with it.
    """
    loaded = load(config, profile, [*own, *(overrides or ())], os.environ)
    asked = "logging.level" in loaded.sources
    logs.set_up(loaded.settings.logging, level=None if asked else level)
    return loaded


def chosen_method(method: str | None) -> list[str]:
    """``--method`` as an override."""
    return [] if method is None else [f"inspection.method={method}"]


def composition_of(context: typer.Context) -> Composition:
    """Who builds the parts."""
    composition: Composition = context.find_root().obj
    return composition
