"""Shared by all tests: the services' fixtures, and which real services this run used."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

SERVICE_FIXTURES = {
    "tests.fixtures.mosquitto": "mosquitto",
    "tests.fixtures.postgresql": "PostgreSQL",
    "tests.deploy.test_mosquitto": "mosquitto",
}
"""Where fixtures start which service."""

pytest_plugins = [
    module for module in SERVICE_FIXTURES if ".fixtures." in module and find_spec(module) is not None
]

# The same examples in every run: a failure that others cannot repeat helps nobody.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")

_set_up: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class Service:
    """A real program that some tests start, where it is installed."""

    name: str
    program: Path | None
    version: str

    def __str__(self) -> str:
        if self.program is None:
            return f"{self.name}: not installed; its tests are skipped"
        return f"{self.name}: {self.version} ({self.program})"


@pytest.fixture(autouse=True)
def _levels_of_logs() -> Iterator[None]:
    """Commands set how much is said for their whole process, and here that is everybody's."""
    loggers = [logging.getLogger(name) for name in (None, "agent", "adapters", "storage", "config")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def _find(program: str, *folders: str) -> Path | None:
    for folder in folders:
        for candidate in sorted(Path("/").glob(f"{folder.lstrip('/')}/{program}"), reverse=True):
            return candidate
    found = shutil.which(program)
    return Path(found) if found else None


def _first_line(program: Path | None, argument: str) -> str:
    if program is None:
        return ""
    try:
        answer = subprocess.run(
            [str(program), argument], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    return (answer.stdout or answer.stderr).strip().partition("\n")[0]


def _services() -> list[Service]:
    mosquitto = _find("mosquitto", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
    postgres = _find("postgres", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
    return [
        Service("mosquitto", mosquitto, _first_line(mosquitto, "-h")),
        Service("PostgreSQL", postgres, _first_line(postgres, "--version")),
    ]


class _Usage:
    """Counts the services that fixtures started.

    A plugin of its own: fixtures of a session belong to no folder, and hooks of a conftest below the root
    are not asked about them.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        result = yield  # a fixture that skips raises here and is not counted
        service = SERVICE_FIXTURES.get(getattr(fixturedef.func, "__module__", ""))
        if service is not None:
            _set_up[service] += 1
        return result


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Usage())


def pytest_report_header() -> list[str]:
    return ["real services:", *(f"  {service}" for service in _services())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section("real services")
    for service in _services():
        name = service.name.lower()
        left_out = [report for report in skipped if name in str(report.longrepr).lower()]
        used = "used" if _set_up[service.name] else "not used by the tests of this run"
        terminalreporter.write_line(f"{service}: {used if service.program else 'not used'}")
        if left_out:
            reason = str(left_out[0].longrepr[2] if isinstance(left_out[0].longrepr, tuple) else "")
            terminalreporter.write_line(
                f"  {len(left_out)} tests skipped: {reason.removeprefix('Skipped: ')}"
            )
