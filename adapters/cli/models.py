"""``sightline models list | pull | verify``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from adapters.cli.options import AsJson, ConfigFile, Overrides, Profile, configure
from adapters.cli.screen import Commands, complain, plain, stderr, stdout, table
from adapters.models.weights.catalogue import KNOWN, KnownModel, find
from adapters.models.weights.needs import ModelNames
from adapters.models.weights.store import Holding, WeightStore, pull_name
from agent.domain.errors import ConfigurationError, ModelError, SightlineError
from agent.methods import find_method
from config import Settings, load, profiles

if TYPE_CHECKING:
    from adapters.models.weights.hub import Progress
    from adapters.models.weights.pull import Pulled

models_commands = typer.Typer(
    cls=Commands, help="List, download and verify the weights of models.", no_args_is_help=True
)

_COLOURS = {"bundled": "green", "present": "green", "incomplete": "red", "missing": "bright_black"}


@models_commands.command("list")
def list_command(
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """List all known models: size, licence, what needs them, and whether they are present."""
    settings = configure(config, profile, overrides).settings
    store = store_of(settings)
    own_needs = needs_of(settings)
    users = _users(settings)
    models = {**KNOWN, **{model.name: model for model in map(find, own_needs) if model is not None}}
    holdings = [store.holding(model) for model in models.values()]
    unknown = [name for name in own_needs if find(name) is None]
    if as_json:
        rows = [_row(holding, store, users) for holding in holdings]
        rows += [_unknown_row(name, store, users) for name in unknown]
        typer.echo(json.dumps(rows, indent=2))
        return
    shown = table(
        "model", "kind", "size", "licence", "sha256", "state", "needed by", "where", right=("size",)
    )
    for holding in holdings:
        model, by = holding.model, users.get(holding.model.name, [])
        alarming = holding.presence == "missing" and bool(by)
        style = "bold red" if alarming else _COLOURS[holding.presence]
        shown.add_row(
            Text(model.name, style="bold" if by else ""),
            model.kind,
            _size(model.size),
            model.licence,
            _known_by(holding, store),
            Text("own file" if holding.own and holding.files else holding.presence, style=style),
            ", ".join(by) or "-",
            "-" if not holding.files or holding.presence == "bundled" else str(holding.root),
        )
    for name in unknown:
        row = _unknown_row(name, store, users)
        shown.add_row(name, "-", "-", "-", "-", row["state"], ", ".join(row["needed_by"]), row["path"] or "-")
    stdout().print(shown)
    problem = lacking(settings, pull_words(config, profile, overrides))
    if problem:
        stdout().print(f"[yellow]needed:[/] {plain(problem)}", soft_wrap=True)


@models_commands.command("pull")
def pull_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="By default all that the configuration needs."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Copy from this folder, without a network.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Download again what is present and intact.")
    ] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Download weights into the models folder; an interrupted download is resumed.

    Files that are missing or altered are downloaded. The sha256 of each is written to SHA256SUMS beside \
them at first, and compared whenever it is loaded. HF_ENDPOINT names a mirror; HF_HUB_OFFLINE \
forbids the network.
    """
    from adapters.models.weights.hub import Hub, offline
    from adapters.models.weights.pull import pull

    settings = configure(config, profile, overrides).settings
    store = store_of(settings)
    models = [_model(name, store) for name in names or needs_of(settings)]
    hub = None if source is not None or offline(os.environ) else Hub(os.environ.get("HF_ENDPOINT"))
    failed = False
    with _progress() as progress:
        for model in models:
            if model is None:  # a file of the user's own
                continue
            try:
                pulled = pull(model, store, hub=hub, source=source, force=force, progress=progress)
            except ModelError as error:
                complain(str(error))
                failed = True
                continue
            stdout().print(_report(pulled), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@models_commands.command("verify")
def verify_command(
    pin: Annotated[
        bool, typer.Option("--pin", help="Record the present sha256 of files that have none yet.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """Compare all weights with their sha256. The exit code is 1 if one is altered or incomplete."""
    settings = configure(config, profile, overrides).settings
    store = store_of(settings)
    findings = store.verify(pin=pin)
    bad = [finding for finding in findings if finding.soundness in {"altered", "missing"}]
    if as_json:
        rows = [
            {
                "model": finding.model,
                "path": str(finding.path),
                "state": finding.soundness,
                "sha256": finding.sha256,
                "expected": finding.expected,
            }
            for finding in findings
        ]
        typer.echo(json.dumps(rows, indent=2))
    else:
        colours = {"ok": "green", "unpinned": "yellow"}
        shown = table("model", "file", "state", "sha256")
        for finding in findings:
            state = Text(finding.soundness, style=colours.get(finding.soundness, "bold red"))
            digest = f"{finding.sha256[:16]}..." if finding.sha256 else "-"
            shown.add_row(finding.model, finding.path.name, state, digest)
        stdout().print(shown)
        if any(finding.soundness == "unpinned" for finding in findings):
            stdout().print(
                "An unpinned file has no known sha256: `sightline models verify --pin` records it."
            )
    for name in dict.fromkeys(finding.model for finding in bad):
        complain(_mend(name, store, [str(finding.path) for finding in bad if finding.model == name]))
    if bad:
        raise typer.Exit(1)


def store_of(settings: Settings) -> WeightStore:
    """The models folder of a configuration."""
    return WeightStore(settings.models.path, settings.models.files)


def needs_of(settings: Settings) -> tuple[str, ...]:
    """Names of the models without which a configuration does not start. Raises RecipeError."""
    spec = find_method(settings.inspection.method)
    return ModelNames.of(settings).needed(spec.needs, spec.takes)


def lacking(settings: Settings, command: str) -> str | None:
    """One sentence on the models that are needed and missing, with the command that downloads them; None if
    all are present."""
    store = store_of(settings)
    away: list[str] = []
    others: list[str] = []
    for name in needs_of(settings):
        model = find(name)
        try:
            store.locate(name)
        except ModelError as error:
            if model is None or store.own_file(name) is not None or not model.pullable:
                others.append(str(error))  # a pull would not help
            else:
                away.append(f"{model.name} ({_size(model.size)})")
    if away:
        bring = (
            f"{', '.join(away)} {'is' if len(away) == 1 else 'are'} not in {store.folder}: run `{command}`"
        )
        others.insert(0, bring)
    return "; ".join(others) or None


def pull_words(config: Path | None, profile: str | None, overrides: Sequence[str] | None) -> str:
    """The command that downloads what this configuration needs."""
    words = ["sightline", "models", "pull"]
    words += ["--config", str(config)] if config is not None else []
    words += ["--profile", profile] if profile is not None else []
    words += [word for override in overrides or () for word in ("--set", override)]
    return shlex.join(words)


def _users(settings: Settings) -> dict[str, list[str]]:
    """Profiles by the models that they need; the configuration in force counts as its profile."""
    users: dict[str, list[str]] = {}
    for name in profiles():
        try:
            needs = needs_of(load(profile=name).settings)
        except ConfigurationError:  # a profile that needs keys of the user, a password for instance
            continue
        for model in needs:
            users.setdefault(_plain(model), []).append(name)
    own = settings.agent.profile
    for model in needs_of(settings):
        listed = users.setdefault(_plain(model), [])
        if own not in listed:
            listed.append("this configuration")
    return users


def _plain(name: str) -> str:
    model = find(name)
    return name if model is None else model.name


def _model(name: str, store: WeightStore) -> KnownModel | None:
    """The model to pull; None if a file of the user stands for it. Raises SightlineError."""
    model = find(name)
    if model is not None:
        return model
    if store.own_file(name) is not None:
        store.locate(name)
        return None
    raise SightlineError(
        f"there is nothing to pull by the name {name!r}; `sightline models list` lists what there is, timm's "
        "own weights are called timm:NAME.TAG, and any other file is named under models.files"
    )


def _row(holding: Holding, store: WeightStore, users: dict[str, list[str]]) -> dict[str, Any]:
    model = holding.model
    pinned = {path.name: store.expected(model, path) for path in holding.files}
    return {
        "name": model.name,
        "kind": model.kind,
        "state": holding.presence,
        "own_file": holding.own,
        "path": str(holding.root),
        "size_bytes": sum(path.stat().st_size for path in holding.files) if holding.files else None,
        "expected_size_bytes": model.size or None,
        "licence": model.licence,
        "sha256": pinned,
        "source": model.repo or model.url or None,
        "needed_by": users.get(model.name, []),
        "note": model.note,
    }


def _unknown_row(name: str, store: WeightStore, users: dict[str, list[str]]) -> dict[str, Any]:
    own = store.own_file(name)
    return {
        "name": name,
        "state": "present" if own is not None and own.exists() else "missing",
        "own_file": own is not None,
        "path": None if own is None else str(own),
        "needed_by": users.get(_plain(name), []),
    }


def _known_by(holding: Holding, store: WeightStore) -> str:
    """Where the expected sha256 comes from: this release, the lock file, or nowhere yet."""
    if holding.model.sha256 is not None:
        return "known"
    return "pinned" if any(store.expected(holding.model, path) for path in holding.files) else "-"


def _mend(name: str, store: WeightStore, paths: list[str]) -> str:
    model = find(name) or KNOWN[name]
    files = ", ".join(paths)
    if model.bundled:
        return f"{files} is not the file of this release of Sightline: install Sightline again"
    way = "" if model.pullable else " --from FOLDER"
    return f"{files} is altered or missing: run `sightline models pull {pull_name(model)}{way}`"


def _report(pulled: Pulled) -> str:
    where = plain(", ".join(dict.fromkeys(str(_shown(path, pulled)) for path in pulled.paths)))
    return f"[bold]{plain(pulled.model.name)}[/]  {pulled.outcome}  {where}"


def _shown(path: Path, pulled: Pulled) -> Path:
    return path.parent if pulled.model.folder else path


def _size(size: int) -> str:
    if not size:
        return "-"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@contextmanager
def _progress() -> Iterator[Progress]:
    """Progress bars on stderr, one for each file."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = stderr()
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def step(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(plain(name), total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield step
