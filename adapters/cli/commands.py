"""``application``: all commands of ``sightline`` put together; each is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from adapters.cli.screen import Commands, fill_lines

_HELP = """
Event-driven inspection for production lines: frames in by MQTT, verdicts and masks out, history in SQL.

Start with [bold]sightline demo[/]: a whole factory in one process.
"""
_TRY, _FACTORY, _MAINTENANCE = "Try it", "In the factory", "Maintenance"


class LazyCommand(TyperCommand):
    """A line of ``sightline --help``; calling it imports the command or the group of commands behind it.

    What one command imports takes longer than the whole of ``--help``.
    """

    def __init__(self, name: str, target: str, panel: str, summary: str) -> None:
        """``target``: ``MODULE:NAME`` of the function or the ``Typer``; ``summary``: the first paragraph of
        its own help."""
        super().__init__(name, help=summary, rich_help_panel=panel)
        self._target = target

    def load(self) -> Any:
        """The command or group itself, with its options."""
        module, _, attribute = self._target.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return fill_lines(typer.main.get_command(alone))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, which parses, completes and runs in place of this one."""
        return self.load().make_context(info_name, args, parent, **extra)


COMMANDS = (
    LazyCommand("demo", "adapters.cli.demo:demo", _TRY,
        "A whole factory in one process: cameras, broker, agent, history, subscriber. Nothing is "
        "downloaded."),
    LazyCommand("inspect", "adapters.cli.inspect:inspect", _TRY,
        "Inspect images from disk, without a broker and without a database."),
    LazyCommand("run", "adapters.cli.run:run", _FACTORY,
        "Run the agent until SIGTERM or Ctrl-C; it then finishes its frames and publishes [bold]stopped[/]."),
    LazyCommand("check", "adapters.cli.check:check", _FACTORY,
        "Look at configuration, broker, database, media, webhooks, Ollama and models. Changes nothing."),
    LazyCommand("enroll", "adapters.cli.enroll:enroll", _FACTORY,
        "Write the next recipe version of a product from images of good parts, with its threshold."),
    LazyCommand("camera", "adapters.cli.camera:camera", _FACTORY,
        "Publish images as a camera would, with QoS 1 and at a steady rate."),
    LazyCommand("feedback", "adapters.cli.feedback:feedback", _FACTORY,
        "Record the truth about an inspected part. The latest feedback counts; none is overwritten."),
    LazyCommand("evaluate", "adapters.cli.evaluate:evaluate", _MAINTENANCE,
        "Measure a method on labelled images, or several of them side by side."),
    LazyCommand("bench", "adapters.cli.bench.command:bench", _MAINTENANCE,
        "Time the configured method on drawn frames: milliseconds, frames a second, memory."),
    LazyCommand("models", "adapters.cli.models:models_commands", _MAINTENANCE,
        "List, download and verify the weights of models."),
    LazyCommand("recipe", "adapters.cli.recipe:recipe_commands", _MAINTENANCE,
        "Recipes: how each product is inspected."),
    LazyCommand("prompts", "adapters.cli.prompts:prompt_commands", _MAINTENANCE,
        "Prompt sets: what good and defective parts look like, in words."),
    LazyCommand("config", "adapters.cli.config:config_commands", _MAINTENANCE,
        "The configuration in force, and its schema."),
    LazyCommand("db", "adapters.cli.db:db_commands", _MAINTENANCE,
        "Upgrade, check and back up the history database."),
)  # fmt: skip
"""In the order of ``--help``."""


class Root(Commands):
    """``sightline`` without a command."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for command in COMMANDS:
            self.add_command(command)


def _version(wanted: bool) -> None:
    if wanted:
        from agent import __version__

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
        cls=Root,
        name="sightline",
        help=_HELP,
        rich_markup_mode="rich",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return app
