"""What people see: consoles, colours, small words for numbers."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 110
"""Columns where the output is no terminal: wide enough for every table."""

COLOURS = {
    "PASS": "green",
    "FAIL": "red",
    "REVIEW": "yellow",
    "ERROR": "magenta",
    "SKIPPED": "bright_black",
}
"""Of verdicts."""


def stdout() -> Console:
    """For results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """For errors, progress and logs, so that results can be piped."""
    return _console(sys.stderr)


def _console(file: TextIO) -> Console:
    width = None if file.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=file, width=width, highlight=False)


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """A quiet table; columns named in ``right`` are numbers."""
    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def verdict(name: str) -> Text:
    """A verdict in its colour."""
    return Text(name, style=f"bold {COLOURS.get(name, 'default')}")


def number(value: float | None, digits: int = 4) -> str:
    """A score or threshold; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """``45 s`` or ``2 min 05 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def plural(count: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
