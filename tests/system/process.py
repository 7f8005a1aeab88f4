"""The agent as a factory runs it: the installed command, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

COMMAND = Path(sys.executable).with_name("sightline")
ROOT = Path(__file__).resolve().parents[2]


def sightline(*arguments: str | Path, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with an environment free of a person's settings."""
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=_environment(),
    )


def write_config(folder: Path, broker_url: str, database_url: str, **sections: dict[str, Any]) -> Path:
    """A configuration file for a test's own broker and database."""
    content: dict[str, Any] = {
        "agent": {"id": "under-test"},
        "broker": {"url": broker_url, "reconnect_min_s": 0.1, "reconnect_max_s": 1.0},
        "database": {"url": database_url},
        "media": {"path": str(folder / "media")},
        "ollama": {"enabled": False},
        "metrics": {"enabled": False},
        "models": {"threads": 1},
    }
    for name, section in sections.items():
        content[name] = {**content.get(name, {}), **section}
    path = folder / "sightline.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


class AgentProcess:
    """``sightline run``; its output goes to a file beside its configuration."""

    command: Sequence[str] = (str(COMMAND),)

    def __init__(self, config: Path, **variables: str) -> None:
        """``variables``: of the environment, beside those of this process."""
        self._config = config
        self._variables = variables
        self._log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> AgentProcess:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command, "run", "--config", str(self._config)],
                stdout=log,
                stderr=log,
                env={**_environment(), **self._variables},
                cwd=ROOT,
            )
        return self

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self._config

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int | None:
        """Its process id; None before it is started."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def wait(self, timeout_s: float) -> int:
        """Until it ends by itself; the exit status."""
        return 0 if self._process is None else self._process.wait(timeout_s)

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, as systemd does; the exit status."""
        if self._process is None:
            return 0
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
