"""``sightline check``: is everything there that the agent needs?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from adapters.cli import checks
from adapters.cli.checks import Finding, State
from adapters.cli.models import pull_words
from adapters.cli.options import ConfigFile, Overrides, Profile, composition_of, configure
from adapters.cli.screen import PlainTable, plain, stderr, stdout
from agent import __version__
from agent.domain.errors import SightlineError

if TYPE_CHECKING:
    from agent.app import Application
    from config import Settings

_SIGNS = {State.OK: ("✓", "green"), State.WARNING: ("!", "yellow"), State.FAILED: ("✗", "bold red")}


_PART_WIDTH = 10
"""Columns of the name of a part; longer ones, of webhooks, are folded."""


def check(
    context: typer.Context,
    models: Annotated[
        bool, typer.Option("--models", help="Load the models, too, and judge one image on the device.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Look at configuration, broker, database, media, webhooks, Ollama and models. Changes nothing.

    The weights are looked for on the disk; [bold]--models[/] also loads them.
    """
    findings: list[Finding] = []
    console, rows = stderr(), None if as_json else _Rows()
    for part, look in _parts(composition_of(context), _Given(config, profile, overrides), load=models):
        with console.status(f"[dim]{plain(part)} ...[/]"):
            findings.append(_guarded(part, look))
        if rows is not None:
            rows.show(findings[-1])
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.state is State.FAILED for finding in findings):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Given:
    """Where the configuration comes from."""

    config: Path | None
    profile: str | None
    overrides: list[str] | None


def _parts(
    composition: Application, given: _Given, *, load: bool
) -> Iterator[tuple[str, Callable[[], Finding]]]:
    found: list[Settings] = []
    broker: list[Finding] = []

    def read() -> Finding:
        # The table holds what the parts would log about failures.
        loaded = configure(given.config, given.profile, given.overrides, level="ERROR")
        settings = composition.settled(loaded.settings)
        found.append(settings)
        where = str(given.config) if given.config else "no file of your own"
        changed = f"{len(loaded.sources)} keys differ from the defaults"
        who = f"agent {settings.agent.id}, profile {settings.agent.profile}"
        return Finding("config", State.OK, f"{where}, {who}, {changed}")

    def reach() -> Finding:
        broker.append(checks.check_broker(settings))
        return broker[0]

    yield "config", read
    if not found:
        return
    settings = found[0]
    yield "broker", reach
    if any(one.state is not State.FAILED and not one.detail.startswith(checks.EMBEDDED) for one in broker):
        yield "agents", lambda: checks.check_agents(settings, composition)
    yield "secrets", lambda: checks.check_secrets(settings)
    yield "database", lambda: checks.check_database(settings, composition)
    yield "media", lambda: checks.check_media(settings.media.path)
    for name in settings.webhooks:
        yield f"webhook {name}", partial(checks.check_webhook, settings, name)
    yield "metrics", lambda: checks.check_metrics(settings)
    yield "ollama", lambda: checks.check_ollama(settings)
    yield "processor", lambda: checks.check_processor(settings)
    pull = pull_words(given.config, given.profile, given.overrides)
    if load:
        yield "models", lambda: checks.check_models(settings, composition, pull)
    else:
        yield "models", lambda: checks.check_weights(settings, pull)


def _guarded(part: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except SightlineError as error:
        return Finding(part, State.FAILED, str(error))


class _Rows:
    """Prints the title, and each row as soon as it is known."""

    def __init__(self) -> None:
        self._console = stdout()
        self._console.print(Text(f"Sightline {__version__}", style="bold"))

    def show(self, finding: Finding) -> None:
        """Columns stand under each other, since all but the last have a width of their own."""
        row = PlainTable.grid(padding=(0, 2, 0, 0))
        row.add_column(width=1)
        row.add_column(width=_PART_WIDTH, overflow="fold")
        row.add_column(overflow="fold")
        sign, style = _SIGNS[finding.state]
        row.add_row(Text(sign, style=style), finding.part, finding.detail)
        self._console.print(row)
        self._console.file.flush()
