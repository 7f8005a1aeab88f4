"""The word to systemd: ready, alive, stopping (sd_notify over the socket that it names)."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

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
