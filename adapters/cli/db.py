"""``sightline db upgrade | check | backup``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.options import ConfigFile, Overrides, Profile, composition_of, configure
from adapters.cli.screen import Commands, complain

db_commands = typer.Typer(
    cls=Commands, help="Upgrade, check and back up the history database.", no_args_is_help=True
)


@db_commands.command("upgrade")
def upgrade(
    context: typer.Context, config: ConfigFile = None, profile: Profile = None, overrides: Overrides = None
) -> None:
    """Create the database if there is none, and bring its schema up to date."""
    settings = configure(config, profile, overrides).settings
    revision = composition_of(context).database(settings).upgrade(typer.echo)
    typer.echo(f"{settings.database.url} is at schema revision {revision}")


@db_commands.command("check")
def check(
    context: typer.Context,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Delete files that no row names; clear references to files that are gone."
        ),
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every image and compare it with its name.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --repair: also if most files are gone, or named by no row."),
    ] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Check the whole database, and whether its rows and the media folder agree.

    Changes nothing without [bold]--repair[/], which deletes no row. Agents may keep running.
    """
    settings = configure(config, profile, overrides).settings
    tools = composition_of(context).database(settings)
    _stop_at(tools.check(full=True))
    if repair:
        for sentence in tools.repair_media(force=force):
            typer.echo(sentence)
    found = tools.check_media(deep=deep)
    _stop_at(found.problems)
    typer.echo(f"{settings.database.url} is well")
    typer.echo(f"{settings.media.path} agrees with it: {found.files:,} files, {found.bytes:,} bytes")


def _stop_at(problems: Sequence[str]) -> None:
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(1)


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
    """Copy a SQLite history to a file, safely while agents write. Images are not in it."""
    settings = configure(config, profile, overrides).settings
    if target is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = Path("var") / f"history-{stamp}.db"
        if settings.database.is_sqlite:
            history = Path(settings.database.url.removeprefix("sqlite:///"))
            target = history.with_name(f"{history.stem}-{stamp}.db")
    written = composition_of(context).database(settings).backup(target)
    typer.echo(f"wrote {written}")
