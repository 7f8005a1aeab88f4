"""``application``: all commands of ``sightline`` put together."""

from __future__ import annotations

from typing import Annotated

import typer

from adapters.cli.bench import bench
from adapters.cli.camera import camera
from adapters.cli.check import check
from adapters.cli.config import config_commands
from adapters.cli.db import db_commands
from adapters.cli.demo import demo
from adapters.cli.enroll import enroll
from adapters.cli.evaluate import evaluate
from adapters.cli.feedback import feedback
from adapters.cli.inspect import inspect
from adapters.cli.models import models_commands
from adapters.cli.prompts import prompt_commands
from adapters.cli.recipe import recipe_commands
from adapters.cli.run import run
from adapters.cli.screen import Commands
from agent import __version__

_HELP = """
Event-driven inspection for production lines: frames in by MQTT, verdicts and masks out, history in SQL.

Start with [bold]sightline demo[/]: a whole factory in one process.
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Carries ``--version``."""


def application() -> typer.Typer:
    """The command line; its context object is an ``agent.app.Application``."""
    app = typer.Typer(
        cls=Commands,
        name="sightline",
        help=_HELP,
        rich_markup_mode="rich",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command(rich_help_panel="Try it")(demo)
    app.command(rich_help_panel="Try it")(inspect)
    app.command(rich_help_panel="In the factory")(run)
    app.command(rich_help_panel="In the factory")(check)
    app.command(rich_help_panel="In the factory")(enroll)
    app.command(rich_help_panel="In the factory")(camera)
    app.command(rich_help_panel="In the factory")(feedback)
    app.command(rich_help_panel="Maintenance")(evaluate)
    app.command(rich_help_panel="Maintenance")(bench)
    app.add_typer(models_commands, name="models", cls=Commands, rich_help_panel="Maintenance")
    app.add_typer(recipe_commands, name="recipe", cls=Commands, rich_help_panel="Maintenance")
    app.add_typer(prompt_commands, name="prompts", cls=Commands, rich_help_panel="Maintenance")
    app.add_typer(config_commands, name="config", cls=Commands, rich_help_panel="Maintenance")
    app.add_typer(db_commands, name="db", cls=Commands, rich_help_panel="Maintenance")
    return app
