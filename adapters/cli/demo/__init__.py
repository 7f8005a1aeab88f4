"""``sightline demo``: a whole factory in one process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.options import ConfigFile, Overrides, Profile, composition_of, configure
from adapters.cli.screen import complain, plural, stdout

if TYPE_CHECKING:
    from rich.console import Console

    from adapters.cli.demo.plan import Plan
    from agent.app import Application
    from config import Settings

_FRAMES, _RATE_HZ = 160, 2.5


def demo(
    context: typer.Context,
    frames: Annotated[int, typer.Option(min=24, help="Images of all cameras together.")] = _FRAMES,
    seed: Annotated[int, typer.Option(min=0, help="Of the products, parts and defects.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the summary there as well.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Add to the files of an earlier demonstration.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for all files.")] = Path(
        "var/demo"
    ),
    rate: Annotated[float, typer.Option(min=0.1, help="Images a second of each camera.")] = _RATE_HZ,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
) -> None:
    """A whole factory in one process: cameras, broker, agent, history, subscriber. Nothing is downloaded."""
    from adapters.cli.demo import report
    from adapters.cli.demo.closing import show_summary

    own = (
        "agent.site=demo",
        "agent.id=demo",
        "broker.url=embedded://127.0.0.1:0",
        f"database.url=sqlite:///{out / 'history.db'}",
        f"media.path={out / 'media'}",
        "media.reserve=0",
        "media.ballast=0",
        "metrics.port=0",
        # Cameras, broker and history run in this process too; a pass on all cores would wait for them.
        f"models.threads={max(1, (os.cpu_count() or 2) - 1)}",
    )
    settings = configure(config, profile or (None if config else "embedded"), overrides, own=own).settings
    console = stdout()
    if not keep:
        report.clear(out)
    out.mkdir(parents=True, exist_ok=True)
    summary = _run(console, composition_of(context), settings, frames, seed, rate, out)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    show_summary(console, summary, out, settings.database.url)
    if summary["lost"] or summary["duplicated"]:
        complain("frames were lost or duplicated; please report this with summary.json and history.db")
        raise typer.Exit(1)


def _run(
    console: Console,
    composition: Application,
    settings: Settings,
    frames: int,
    seed: int,
    rate: float,
    out: Path,
) -> dict[str, Any]:
    from adapters.cli.demo import report
    from adapters.cli.demo.factory import Factory
    from adapters.cli.demo.live import Board, LiveView
    from adapters.cli.demo.observer import Observer
    from adapters.cli.demo.plan import make_plan

    plan = make_plan(frames, seed)
    console.print("\n[bold]Sightline[/] inspects a small factory\n")
    with _step(console, "loading models", "models loaded, history open"):
        agent = composition.agent(settings)
    try:
        with _step(console, "starting", "broker and agent started"):
            agent.start()
        _describe(console, plan, agent.description, agent.broker_url, settings)
        board = Board({camera.name: len(camera.feed) for camera in plan.cameras})
        factory = Factory(plan, agent, settings, board, rate)
        with _step(console, "enrolling references", "references enrolled"):
            factory.enroll(lambda sentence: console.print(f"    {sentence}", style="dim", markup=False))
        console.print()
        with Observer(agent.broker_url, settings, board) as observer, LiveView(board, console):
            production = factory.produce(observer)
        rows, recipes = report.read_rows(agent.store, production)
        summary = report.build_summary(plan, production, rows, recipes)
        report.write_files(out, summary, production, rows, agent.store.media)
    finally:
        agent.stop()
    return summary


@contextmanager
def _step(console: Console, doing: str, done: str) -> Iterator[None]:
    """A spinner while something runs, then one line with its duration."""
    started = time.monotonic()
    if not console.is_terminal:
        console.print(f"    {doing} ...", style="dim")
    with console.status(f"[dim]{doing} ...[/]"):
        yield
    console.print(f"  [green]✓[/] {done} [dim]{time.monotonic() - started:.1f} s[/]")


def _describe(
    console: Console, plan: Plan, description: Mapping[str, str], url: str, settings: Settings
) -> None:
    """What runs, and how to subscribe to it."""
    from urllib.parse import urlsplit

    lines = [", ".join(f"{name} {value}" for name, value in description.items() if name != "broker")]
    for camera in plan.cameras:
        jobs = ", then ".join(
            f"{article.sku} ({camera.noun(article.sku)}, {_how(enrolled=article.enrolled)})"
            for article in camera.articles
        )
        lines.append(f"{camera.name}: {plural(len(camera.feed), 'frame')} of {jobs}")
    lines.append(_ollama(settings))
    lines.append(
        f"subscribe: mosquitto_sub -p {urlsplit(url).port} -t '{settings.agent.site}/+/+/verdict' -v"
    )
    for line in lines:
        console.print(f"    {line}", style="dim", soft_wrap=True, markup=False)


def _how(*, enrolled: bool) -> str:
    return "enrolled" if enrolled else "new"


def _ollama(settings: Settings) -> str:
    """Whether a language model can write prompts; frames never wait for that."""
    from adapters.ollama import OllamaOptions, look

    if not settings.ollama.enabled:
        return "Ollama is switched off; prompts: template"
    health = look(OllamaOptions.of(settings.ollama))
    if health.ready:
        return f"{health.sentence}; it writes prompts for new products"
    return f"{health.sentence}; prompts: template"
