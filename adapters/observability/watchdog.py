"""The pulse: tells systemd how the agent is, and feeds its watchdog while it is well."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Mapping

from adapters.observability.health import Health

STATUS_S = 30.0
"""How often the status is renewed where no watchdog asks for more."""
_A_DEADLINE = 3
"""Tellings within one deadline of the watchdog; systemd asks for two at least."""


class WatchdogNotifier:
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


logger = logging.getLogger(__name__)

_TIMEOUT_S = 1.0


class Notifier:
    """Says how the service is. Without systemd, or under another supervisor, it says nothing."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of Linux's abstract names.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)

    @property
    def wanted(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self) -> None:
        """The service is up."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Feeds the watchdog; ``status`` is what ``systemctl status`` shows."""
        self._send(f"WATCHDOG=1\n{_status(status)}")

    def ailing(self, status: str) -> None:
        """Says what is wrong without feeding the watchdog: unless that changes, systemd restarts us."""
        self._send(_status(status))

    def stopping(self) -> None:
        """The service is on its way out, in order."""
        self._send(f"STOPPING=1\n{_status('finishing what was admitted')}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(_TIMEOUT_S)
                out.sendto(state.encode(), self._address)
        except OSError as error:
            logger.warning("systemd could not be told %r: %s", state.partition("\n")[0], error)


def _status(sentence: str) -> str:
    return f"STATUS={' '.join(sentence.split())}"


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear of us at least, in seconds; None where it does not watch us."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None
