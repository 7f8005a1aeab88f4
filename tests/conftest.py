"""One thread, the services' fixtures, the markers ``lab`` and ``system``, and which services ran."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# One thread without spinning, for this process and all that tests start. Threads that wait for each other
# cost more than they save on networks as small as those of the tests. Libraries read this when they load.
os.environ.update(
    OMP_NUM_THREADS="1",
    OMP_WAIT_POLICY="PASSIVE",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    OPENCV_FOR_THREADS_NUM="1",
)

import hypothesis
import pytest

LABORATORY = Path(__file__).parent / "adapters" / "lab"
"""All tests below it have the marker ``lab``."""
SYSTEM = Path(__file__).parent / "system"
"""All tests below it start a whole agent and have the marker ``system``."""

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
    """Commands set the level of logs for their whole process, which is that of all tests here."""
    loggers = [logging.getLogger(name) for name in (None, "agent", "adapters", "storage", "config")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Commands set the number of threads for their whole process, too."""
    yield
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


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

    A plugin of its own: fixtures of a session belong to no folder, and pytest does not call the hooks of a
    conftest below the root for them.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        result = yield  # a fixture that skips raises here and is not counted
        service = SERVICE_FIXTURES.get(getattr(fixturedef.func, "__module__", ""))
        if service is not None:
            _set_up[service] += 1
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker of pytest-xdist hands its counts to the process that prints them."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["services"] = dict(_set_up)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker is done; one that crashed has counted nothing."""
        _set_up.update(getattr(node, "workeroutput", {}).get("services", {}))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Usage())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Training and evaluation of models at length belong to ``make test-lab``; whole agents are slow."""
    for item in items:
        if item.path.is_relative_to(LABORATORY):
            item.add_marker(pytest.mark.lab)
        if item.path.is_relative_to(SYSTEM):
            item.add_marker(pytest.mark.system)


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
