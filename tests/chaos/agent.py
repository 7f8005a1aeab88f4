"""The agent's process: started, killed, stopped, and looked at from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.chaos.watched import VARIABLE

ROOT = Path(__file__).resolve().parents[2]


class Agent:
    """``sightline run`` as a process; its output is appended to one log."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._log = config.with_suffix(".log")
        self._threads = config.with_suffix(".threads")
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> Agent:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTLINE_")}
        environment[VARIABLE] = str(self._threads)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.watched", "run", "--config", str(self._config)],
                stdout=log,
                stderr=log,
                env=environment,
                cwd=ROOT,
            )
        self.starts += 1
        return self

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM, as systemd does; the exit status."""
        if self._process is None:
            return 0
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait(10)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the agent was not started")
        return self._process.pid

    @property
    def log_tail(self) -> str:
        """The end of its log, for whoever has to find out why a campaign failed."""
        try:
            return self._log.read_text(errors="replace")[-3000:]
        except FileNotFoundError:
            return ""

    def logged(self, text: str) -> int:
        """How many lines of the log hold ``text``."""
        try:
            with self._log.open(errors="replace") as log:
                return sum(text in line for line in log)
        except FileNotFoundError:
            return 0

    @property
    def resident_kb(self) -> int:
        """Resident memory in KiB (Linux); 0 if the system does not report it."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return 0
        found = next((line for line in lines if line.startswith("VmRSS:")), "VmRSS: 0 kB")
        return int(found.split()[1])

    def threads(self, timeout_s: float = 10.0) -> list[str]:
        """Names of its Python threads; none if it does not live or does not answer."""
        if not self.alive:
            return []
        self._threads.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + timeout_s
        while not self._threads.exists():
            if time.monotonic() > deadline or not self.alive:
                return []
            time.sleep(0.02)
        names: list[str] = json.loads(self._threads.read_text())
        return names
