"""PinnedBackend: connections of httpcore that go to checked addresses, within one time limit."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpcore

from adapters.http.hosts import AllowedHosts, parse_address

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses. Raises OSError."""

PORTS = {"http": 80, "https": 443}
FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError)
"""How a connection fails, beside timeouts and :class:`HostError`."""
TIMEOUTS = (httpcore.TimeoutException, TimeoutError)

_SAFE = "/%:@!$&'()*+,;=~-._?"


class HostError(ValueError):
    """The host has no address, or none in time."""


class ForbiddenHostError(HostError):
    """The addresses of the host are not allowed. Waiting does not help."""


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """A URL taken apart."""

    scheme: str
    host: str
    """Lower-case, without the brackets of IPv6."""
    port: int
    named_port: int | None
    """The port that the URL names; None if it names none."""
    target: str = field(repr=False)
    """Path and query, percent-encoded; it may hold a key."""

    @classmethod
    def parse(cls, url: str, what: str) -> HttpUrl:
        """Raises ValueError in a sentence about ``what`` that does not repeat the URL: it may hold a key."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise ValueError(f"the {what} is not a URL") from None
        good = parts.scheme in PORTS and host and host.isascii() and port != 0 and "%" not in host
        if not good or parts.username is not None or parts.password is not None:
            raise ValueError(f"an {what} reads http://HOST/PATH or https://HOST/PATH")
        target = quote(parts.path or "/", safe=_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_SAFE)
        return cls(parts.scheme, host, port or PORTS[parts.scheme], port, target)

    @property
    def usual_port(self) -> bool:
        """Whether the port is the scheme's own."""
        return self.port == PORTS[self.scheme]

    @property
    def host_header(self) -> str:
        named = f"[{self.host}]" if ":" in self.host else self.host
        return named if self.named_port is None else f"{named}:{self.port}"

    def for_httpcore(self) -> httpcore.URL:
        return httpcore.URL(scheme=self.scheme, host=self.host, port=self.port, target=self.target)


class Deadline:
    """A time limit for all steps of one exchange together: name, connection, request and answer."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.restart()

    def restart(self) -> None:
        """A new exchange begins, perhaps on a connection that is open already."""
        self._ends = time.monotonic() + self.timeout_s

    def left(self) -> float:
        """Seconds left. Raises TimeoutError if there are none."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class PinnedBackend(httpcore.NetworkBackend):
    """Opens connections, each to an address that was checked.

    The host is resolved once for each connection, its addresses are checked, and the connection goes to one
    of these very addresses. A name server that answers differently a moment later so reaches nothing.

    Attributes:
        connected: how many connections were opened.
    """

    def __init__(
        self, hosts: AllowedHosts, deadline: Deadline, setting: str, resolve: Resolve | None = None
    ) -> None:
        """``setting`` is the key of the configuration that holds ``hosts``, for sentences."""
        self.connected = 0
        self._hosts = hosts
        self._deadline = deadline
        self._setting = setting
        self._resolve = resolve or _resolve
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """``timeout`` is not used: the deadline holds. Raises HostError."""
        error: Exception = OSError("there is no address")
        for address in self.addresses(host, port):
            try:
                stream = self._network.connect_tcp(address, port, self._deadline.left(), None, socket_options)
            except httpcore.ConnectError as failed:
                error = failed
            else:
                self.connected += 1
                return _Stream(stream, self._deadline)
        raise error

    def addresses(self, host: str, port: int) -> list[str]:
        """The host's addresses that may be connected to. Raises HostError."""
        found = [host] if parse_address(host) is not None else self._look_up(host, port)
        parsed = [address for text in found if (address := parse_address(text)) is not None]
        allowed = [str(address) for address in parsed if self._hosts.reaches(address)]
        if parsed and not allowed:
            raise ForbiddenHostError(
                f"the host {host[:253]} leads to {parsed[0]}, which is not a public address; "
                f"name that address or its network in {self._setting}"
            )
        if not allowed:
            raise HostError(f"the host {host[:253]} has no address")
        return allowed

    def _look_up(self, host: str, port: int) -> Sequence[str]:
        """Look up in another thread: the system's resolver knows no time limit."""
        found: list[str] = []

        def ask() -> None:
            try:
                found.extend(self._resolve(host, port))
            except (OSError, UnicodeError):
                return  # the error is then that the host has no address

        thread = threading.Thread(target=ask, name="resolve", daemon=True)
        thread.start()
        thread.join(self._deadline.left())
        if thread.is_alive():
            raise HostError(
                f"the address of the host {host[:253]} was not found within {self._deadline.timeout_s:g} s"
            )
        return found


def _resolve(host: str, port: int) -> Sequence[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


class _Stream(httpcore.NetworkStream):
    """A connection whose every step is under the deadline: neither a slow trickle of headers nor of the body
    lasts longer."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left())
        return _Stream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
