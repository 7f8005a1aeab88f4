"""``WatchdogNotifier``: reports the agent's state to systemd, and feeds its watchdog while the agent is well.

``Notifier`` speaks systemd's protocol (sd_notify(3)).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping

from adapters.observability.health import Health

logger = logging.getLogger(__name__)

STATUS_S = 30.0
"""How often the status is renewed if no watchdog asks for more."""
_PER_DEADLINE = 3
"""Notifications within one deadline of the watchdog; systemd asks for two at least."""
_TIMEOUT_S = 1.0
_FINISHING = "finishing what was admitted"


class Notifier:
    """Sends the service's state to systemd; without systemd it sends nothing."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of Linux's abstract names.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)

    @property
    def wanted(self) -> bool:
        """Whether systemd listens."""
        return bool(self._address)

    def ready(self) -> None:
        """Report that the service is up."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Feed the watchdog; ``systemctl status`` shows ``status``."""
        self._send(f"WATCHDOG=1\n{_status(status)}")

    def ailing(self, status: str) -> None:
        """Report a problem without feeding the watchdog; if it lasts, systemd restarts the agent."""
        self._send(_status(status))

    def stopping(self) -> None:
        """Report that the service ends in order."""
        self._send(f"STOPPING=1\n{_status(_FINISHING)}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_TIMEOUT_S)
                out.sendto(state.encode(), self._address)
        except OSError as error:
            logger.warning("%r could not be sent to systemd: %s", state.partition("\n")[0], error)


class WatchdogNotifier:
    """Notifies systemd from a daemon thread between :meth:`start` and :meth:`stop`, if systemd started us."""

    def __init__(self, notifier: Notifier, health: Health) -> None:
        self._notifier = notifier
        self._health = health
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Report that the agent takes frames."""
        if self._notifier.wanted and not self._stopping.is_set():
            self._notifier.ready()
            self._thread.start()

    def stopping(self) -> None:
        """Report that the agent ends in order: systemd must not kill it because its stages end."""
        self._stopping.set()
        self._notifier.stopping()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def notify(self) -> None:
        """Send the agent's state once."""
        healthy = self._health.healthy()
        if self._stopping.is_set():
            self._notifier.alive(_FINISHING)
        elif healthy.ok:
            self._notifier.alive(self._health.ready().problems or "judging frames")
        else:
            self._notifier.ailing(healthy.problems)

    def _run(self) -> None:
        period_s = min(STATUS_S, (self._notifier.watchdog_s or STATUS_S) / _PER_DEADLINE)
        while not self._stopped.wait(period_s):
            self.notify()


def _status(sentence: str) -> str:
    return f"STATUS={' '.join(sentence.split())}"


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Longest time between two notifications that systemd accepts, in seconds; None if it does not watch."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None
