"""``Agent``: the agent's process in a campaign, with what is seen of it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.chaos.watched import VARIABLE
from tests.system.process import AgentProcess

PASSING = {"log-rate", "status"}
"""Threads that come and go: a timer, and the look at other agents after a start."""


class Agent(AgentProcess):
    """``sightline run`` as a process that also writes the names of its threads when asked."""

    command = (sys.executable, "-m", "tests.chaos.watched")

    def __init__(self, config: Path) -> None:
        self._threads = config.with_suffix(".threads")
        super().__init__(config, **{VARIABLE: str(self._threads)})

    def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; SIGKILL if that does not help, so that the campaign ends."""
        try:
            return super().stop(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait(10)

    @property
    def log_tail(self) -> str:
        """The end of its log, for whoever has to find out why a campaign failed."""
        return self.log[-3000:]

    def logged(self, text: str) -> int:
        """How many lines of the log hold ``text``."""
        return sum(text in line for line in self.log.splitlines())

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
        """Names of its lasting Python threads; none if it does not live or does not answer."""
        if not self.alive or self.pid is None:
            return []
        self._threads.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + timeout_s
        while not self._threads.exists():
            if time.monotonic() > deadline or not self.alive:
                return []
            time.sleep(0.02)
        names: list[str] = json.loads(self._threads.read_text())
        return [name for name in names if name not in PASSING]
