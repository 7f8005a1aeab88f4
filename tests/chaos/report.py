"""The report that is kept: where, when, what was claimed, what was counted."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from agent import __version__
from tests.chaos.result import Result
from tests.fixtures.mosquitto import MOSQUITTO

_LIBRARIES = ("paho-mqtt", "sqlalchemy", "psycopg", "torch", "opencv-python-headless")


def write(results: Sequence[Result]) -> str:
    """All results as Markdown."""
    lines = [
        "# Chaos campaigns",
        "",
        "Written by `python -m tests.chaos`. Frames, messages and instants follow from the seed, as far as "
        "processes allow.",
        "",
        *(f"- {name}: {value}" for name, value in _surroundings()),
        "",
        "| campaign | database | frames | rows | duplicates | not delivered | outcome | took |",
        "|---|---|---|---|---|---|---|---|",
        *(_table_row(result) for result in results),
        "",
    ]
    for result in results:
        lines += _section(result)
    return "\n".join(lines)


def _table_row(result: Result) -> str:
    figures = result.figures
    cells = [
        result.name,
        result.parameters.get("database", ""),
        figures.get("frames", result.parameters.get("good frames", "")),
        figures.get("rows", ""),
        figures.get("duplicates", ""),
        figures.get("verdicts not delivered", ""),
        _outcome(result),
        f"{result.duration_s:.0f} s",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _outcome(result: Result) -> str:
    if result.skipped is not None:
        return "skipped"
    return "passed" if result.passed else "**failed**"


def _section(result: Result) -> list[str]:
    title = f"## {result.name}, {result.parameters.get('database', '')}: {_outcome(result)}"
    lines = [title, "", *(f"- {name}: {value}" for name, value in result.parameters.items()), ""]
    if result.skipped is not None:
        return [*lines, result.skipped, ""]
    lines += ["| counted | |", "|---|---|"]
    lines += [f"| {name} | {_shown(value)} |" for name, value in result.figures.items()]
    lines += ["", *(f"- [{'x' if holds else ' '}] {claim}" for claim, holds in result.checks), ""]
    for note in result.notes:
        lines += ["```", *note.strip().splitlines()[-25:], "```", ""]
    return lines


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        few = value if len(value) <= 12 else [value[0], "...", value[-1]]
        return ", ".join(_shown(one) for one in few) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _surroundings() -> list[tuple[str, str]]:
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("machine", f"{os.cpu_count()} cores ({platform.machine()}), {_memory_gb()} GB of memory"),
        (
            "system",
            f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        ),
        ("load when it ended", " ".join(f"{one:.1f}" for one in os.getloadavg())),
        ("sightline", __version__),
        ("broker", _first_line(MOSQUITTO, "-h")),
        ("databases", f"SQLite {sqlite3.sqlite_version}, {_postgresql()}"),
        ("libraries", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)),
    ]


def _memory_gb() -> str:
    try:
        total = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    except OSError:
        return "?"
    return f"{int(total) / 1e6:.0f}"


def _postgresql() -> str:
    programs = sorted(Path("/").glob("usr/lib/postgresql/*/bin/postgres"), reverse=True)
    return _first_line(str(programs[0]) if programs else None, "--version")


def _first_line(program: str | None, argument: str) -> str:
    if program is None:
        return "not installed"
    done = subprocess.run([program, argument], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().partition("\n")[0]
