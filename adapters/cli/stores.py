"""What commands on an existing history share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.options import composition_of, configure
from agent.domain.errors import SightlineError
from agent.domain.events import Event

if TYPE_CHECKING:
    from adapters.cli.composition import Store
    from config import Settings

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@contextmanager
def open_store(
    context: typer.Context, config: Path | None, profile: str | None, overrides: Sequence[str] | None
) -> Iterator[tuple[Store, Settings]]:
    """The history as it is, never upgraded behind an agent's back.

    Raises SightlineError: there is none, or its schema is not this version's.
    """
    settings = configure(config, profile, overrides).settings
    composition = composition_of(context)
    problems = composition.database(settings).check()
    if problems:
        raise SightlineError("; ".join(problems))
    with composition.store(settings, upgrade=False) as store:
        yield store, settings


def tell(store: Store, kind: str, message: str, sku: str | None = None) -> None:
    """What a person changed, as an event. Raises StorageError."""
    store.history.record_event(Event(kind, message, datetime.now(UTC), sku=sku))
