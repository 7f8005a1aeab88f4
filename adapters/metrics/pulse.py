"""The pulse: tells systemd how the agent is, and feeds its watchdog while it is well."""

from __future__ import annotations

import threading

from adapters.metrics.health import Health
from adapters.metrics.systemd import Notifier

STATUS_S = 30.0
"""How often the status is renewed where no watchdog asks for more."""
_A_DEADLINE = 3
"""Tellings within one deadline of the watchdog; systemd asks for two at least."""


class Pulse:
    """A daemon thread between :meth:`start` and :meth:`stop`; nothing where systemd did not start us."""

    def __init__(self, notifier: Notifier, health: Health) -> None:
        self._notifier = notifier
        self._health = health
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """The agent takes frames from now on."""
        if self._notifier.wanted and not self._stopping.is_set():
            self._notifier.ready()
            self._thread.start()

    def stopping(self) -> None:
        """The agent ends in order: its stages end as well, and that is no reason to kill it."""
        self._stopping.set()
        self._notifier.stopping()

    def stop(self) -> None:
        """Say nothing more."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def beat(self) -> None:
        """Tell once."""
        healthy = self._health.healthy()
        if self._stopping.is_set():
            self._notifier.alive("finishing what was admitted")
        elif healthy.ok:
            self._notifier.alive(self._health.ready().problems or "judging frames")
        else:
            self._notifier.ailing(healthy.problems)

    def _run(self) -> None:
        period_s = min(STATUS_S, (self._notifier.watchdog_s or STATUS_S) / _A_DEADLINE)
        while not self._stopped.wait(period_s):
            self.beat()
