"""``sightline db upgrade | check | backup``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.errors import complain
from adapters.cli.options import ConfigFile, Overrides, Profile, composition_of, configure

db_commands = typer.Typer(help="Care of the history database.", no_args_is_help=True)


@db_commands.command("upgrade")
def upgrade(
    context: typer.Context, config: ConfigFile = None, profile: Profile = None, overrides: Overrides = None
) -> None:
    """Create the database where there is none, and bring its schema up to date."""
    settings = configure(config, profile, overrides).settings
    revision = composition_of(context).database(settings).upgrade()
    typer.echo(f"{settings.database.url} is at schema revision {revision}")


@db_commands.command("check")
def check(
    context: typer.Context, config: ConfigFile = None, profile: Profile = None, overrides: Overrides = None
) -> None:
    """Look whether the database is reachable, complete and up to date. Changes nothing."""
    settings = configure(config, profile, overrides).settings
    problems = composition_of(context).database(settings).check()
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{settings.database.url} is well")


@db_commands.command("backup")
def backup(
    context: typer.Context,
    target: Annotated[
        Path | None, typer.Argument(help="File to write; by default dated, beside the history.")
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Copy a SQLite history to a file, safely while agents write. Pictures are not in it."""
    settings = configure(config, profile, overrides).settings
    if target is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = Path("var") / f"history-{stamp}.db"
        if settings.database.is_sqlite:
            history = Path(settings.database.url.removeprefix("sqlite:///"))
            target = history.with_name(f"{history.stem}-{stamp}.db")
    written = composition_of(context).database(settings).backup(target)
    typer.echo(f"wrote {written}")
