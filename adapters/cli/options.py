"""``configure``, ``open_store`` and the options that commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.observability import logs
from agent.domain.errors import SightlineError
from agent.domain.events import Event
from agent.domain.names import clean_name, spelling
from config import Loaded, load

if TYPE_CHECKING:
    from agent.app import Application
    from agent.app.store import Store
    from config import Settings


def name_of(text: str) -> str:
    """A SKU or frame id of the command line in the form of names. Raises SightlineError."""
    try:
        name = clean_name(text)
    except ValueError as error:
        raise SightlineError(f"{text[:60]!r} {error}") from None
    if not name:
        raise SightlineError("a SKU or frame id is not empty")
    return name


def stored_sku(store: Store, sku: str) -> str:
    """The SKU in the spelling in which the history has it. Raises SightlineError."""
    try:
        return spelling(sku, store.book.skus())
    except ValueError as error:
        raise SightlineError(f"the SKU {sku[:60]!r} {error}") from None


_PANEL = "Configuration"

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="YAML file with your settings.", rich_help_panel=_PANEL
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
Bits = Annotated[
    int | None,
    typer.Option(
        min=8, max=16, metavar="N", help="Significant bits of PNG with 16 bits, such as 12; by default found."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def configure(
    config: Path | None,
    profile: str | None,
    overrides: Sequence[str] | None,
    *,
    own: Sequence[str] = (),
    level: str | None = "WARNING",
) -> Loaded:
    """The configuration in force, and logging as it sets it.

    Args:
        own: ``key=value`` of the command itself; the user's ``--set`` overrides them.
        level: the log level unless the user sets one; None: the configuration's.

    Raises:
        ConfigurationError: everything that is wrong with it.
    """
    loaded = load(config, profile, [*own, *(overrides or ())], os.environ)
    chosen = "logging.level" in loaded.sources
    logs.set_up(loaded.settings.logging, level=None if chosen else level)
    return loaded


def chosen_method(method: str | None) -> list[str]:
    """``--method`` as an override."""
    return [] if method is None else [f"inspection.method={method}"]


def composition_of(context: typer.Context) -> Application:
    """The application that builds the parts of this command."""
    composition: Application = context.find_root().obj
    return composition


@contextmanager
def open_store(
    context: typer.Context, config: Path | None, profile: str | None, overrides: Sequence[str] | None
) -> Iterator[tuple[Store, Settings]]:
    """The history as it is; a command never upgrades the schema of a running agent.

    Raises SightlineError: there is none, or its schema is not this version's.
    """
    settings = configure(config, profile, overrides).settings
    composition = composition_of(context)
    problems = composition.database(settings).check()
    if problems:
        raise SightlineError("; ".join(problems))
    with composition.store(settings, upgrade=False) as store:
        yield store, settings


def record(store: Store, kind: str, message: str, sku: str | None = None) -> None:
    """Record what a person changed as an event. Raises StorageError."""
    store.history.record_event(Event(kind, message, datetime.now(UTC), sku=sku))
