"""``python -m tests.chaos all|kill9|restarts|disk|fuzz|soak|overload``: the campaigns in their long form."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import report
from tests.chaos.campaigns.disk import disk, disk_retention
from tests.chaos.campaigns.fuzz import fuzz
from tests.chaos.campaigns.kill9 import kill9
from tests.chaos.campaigns.overload import overload
from tests.chaos.campaigns.restarts import restarts
from tests.chaos.campaigns.soak import soak
from tests.chaos.plant import NotHereError
from tests.chaos.result import Result

Campaign = Callable[[Path], Result]

NAMES = ("kill9", "restarts", "disk", "fuzz", "overload", "soak")
ON_BOTH = ("kill9", "restarts")
"""Campaigns that ``all`` plays on SQLite and again on PostgreSQL."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what was asked for and write the report; 1 where a claim does not hold."""
    options = _parser().parse_args(arguments)
    results: list[Result] = []
    for name in NAMES if options.campaign == "all" else (options.campaign,):
        for database in _databases(options, name):
            for label, campaign in _campaigns(name, database, options):
                _print(f"{label} on {database}...")
                results.append(_play(label, database, campaign))
                _print(f"  {_summary(results[-1])}")
                # Written after each: a long run that is ended early leaves what it has.
                if options.report is not None:
                    options.report.write_text(report.write(results))
    return int(any(result.failures for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("campaign", choices=("all", *NAMES))
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), help="default: as each campaign chooses"
    )
    parser.add_argument("--frames", type=int, help="frames in the stream; of fuzz: messages that are bad")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="a Markdown file")
    return parser


def _databases(options: argparse.Namespace, name: str) -> tuple[str, ...]:
    if options.database is not None:
        return (options.database,)
    return ("sqlite", "postgresql") if name in ON_BOTH else ("sqlite",)


def _campaigns(name: str, database: str, options: argparse.Namespace) -> list[tuple[str, Campaign]]:
    common: dict[str, Any] = {"database": database, "seed": options.seed}
    if options.frames is not None:
        common["bad" if name == "fuzz" else "frames_"] = options.frames
    if name == "overload":
        return [(f"{name}, {mode}", partial(overload, mode=mode, **common)) for mode in ("wait", "latest")]
    if name == "disk":
        return [("disk", partial(disk, **common)), ("disk, retention", partial(disk_retention, **common))]
    if name == "restarts":
        common["longest_s"] = 18.0  # beyond the 15 s for which SQLite's writers wait for each other
    functions: dict[str, Callable[..., Result]] = {
        "kill9": kill9, "restarts": restarts, "fuzz": fuzz, "soak": soak,
    }  # fmt: skip
    return [(name, partial(functions[name], **common))]


def _play(name: str, database: str, campaign: Campaign) -> Result:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sightline-chaos-", ignore_cleanup_errors=True) as folder:
        try:
            return campaign(Path(folder))
        except (NotHereError, pytest.skip.Exception) as reason:
            return Result(name, {"database": database}, skipped=str(reason)).end()
        except (RuntimeError, OSError) as error:
            result = Result(name, {"database": database}, notes=[str(error)], started=started)
            result.check("the campaign could be played to its end", False)
            return result.end()


def _summary(result: Result) -> str:
    if result.skipped is not None:
        return f"skipped: {result.skipped}"
    return f"{'passed' if result.passed else 'FAILED'} in {result.duration_s:.0f} s\n{result}"


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
