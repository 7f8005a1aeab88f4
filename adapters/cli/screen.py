"""``Commands``, ``table`` and others: consoles, colours, tables, numbers in words, errors as a sentence."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, TextIO

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from agent.domain.errors import SightlineError
from agent.domain.events import Event
from agent.domain.names import visible

PIPE_WIDTH = 110
"""Columns if the output is not a terminal: wide enough for every table."""

_LINE_END = re.compile(r"(?<!\n)\n[ \t]*(?![\s\f\b])")

COLOURS = {
    "PASS": "green",
    "FAIL": "red",
    "REVIEW": "yellow",
    "ERROR": "magenta",
    "SKIPPED": "bright_black",
}
"""Of verdicts."""


class Commands(TyperGroup):
    """A group whose commands may raise SightlineError: the sentence goes to stderr, the exit code is 1."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        return None if command is None else fill_lines(command)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SightlineError as error:
            complain(str(error))
            raise typer.Exit(1) from error
        except BrokenPipeError:
            # `sightline recipe list | head` is not an error.
            raise typer.Exit(0) from None
        except OSError as error:
            complain(f"{error.filename or 'the operating system'}: {error.strerror or error}")
            raise typer.Exit(1) from error


def fill_lines(command: Any) -> Any:
    """The command with a help text that fills the terminal, wherever its lines end in the source."""
    if command.help:
        command.help = _LINE_END.sub(" ", command.help)
    return command


def complain(sentence: str) -> None:
    """Write an error to stderr."""
    stderr().print(f"[bold red]error:[/] {plain(sentence)}", soft_wrap=True)


def plain(text: object) -> str:
    """Any text inside a sentence with markup: shown as it is, whatever it holds.

    File names, SKUs, reasons and notes come from outside. Brackets in them are not markup, and control
    characters become escapes.
    """
    return escape(_visible_lines(str(text)))


def _visible_lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def json_text(content: object) -> str:
    """Indented JSON; in ASCII if a file name holds bytes that are not UTF-8."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, indent=2)
    return text


class ScreenEvents:
    """Writes what parts find out to stderr, as an :class:`agent.ports.EventReporter`."""

    def report(self, event: Event) -> None:
        colour = "yellow" if event.severity == "warning" else "dim"
        message = event.message.removeprefix(f"{event.camera}: ")
        stderr().print(f"[{colour}]{plain(message)}[/]", soft_wrap=True)


def stdout() -> Console:
    """For results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """For errors, progress and logs, so that results can be piped."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    width = None if file.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, emoji=False)


class PlainTable(Table):
    """A table whose cells of plain text are shown as they are; markup is for ``Text``."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        plain = (Text(_visible_lines(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*plain, **options)


def table(
    *columns: str, title: str | None = None, right: tuple[str, ...] = (), whole: tuple[str, ...] = ()
) -> Table:
    """A table without lines between rows; columns named in ``right`` are numbers.

    Columns in ``whole`` are never folded: on a narrow terminal the others give way.
    """
    made = PlainTable(box=SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    made.title = None if title is None else Text(visible(title))
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    return made


def verdict(name: str) -> Text:
    """A verdict in its colour."""
    return Text(name, style=f"bold {COLOURS.get(name, 'default')}")


def number(value: float | None, digits: int = 4) -> str:
    """A score or threshold; a dash if there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """``45 s`` or ``2 min 05 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def plural(count: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
