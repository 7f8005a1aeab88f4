"""Images by HTTP: from allowed hosts, at the address that was checked, within one time limit."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import httpcore

from adapters.images.hosts import AllowedHosts, parse_address

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port to addresses. Raises OSError."""

_PORTS = {"http": 80, "https": 443}
_SAFE = "/%:@!$&'()*+,;=~-._?"
_HEADERS = {"accept": "image/jpeg, image/png", "accept-encoding": "identity", "user-agent": "sightline"}


class FetchError(ValueError):
    """The URL may not be followed, or leads to no image. No message holds the URL: it may name a key."""


class Fetcher:
    """Fetches one image at a time, each over a connection of its own; any thread may call.

    Redirects are not followed and proxies of the environment not used: both would lead elsewhere. A host
    is resolved once, its addresses are checked, and the connection goes to one of these very addresses.
    """

    def __init__(
        self,
        hosts: AllowedHosts,
        max_bytes: int,
        timeout_s: float,
        resolve: Resolve | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """``timeout_s`` holds for all of it, name and answer included; ``context`` is what is trusted."""
        self._hosts = hosts
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolve = resolve or _resolve
        self._context = context

    def fetch(self, url: str) -> bytes:
        """Raises FetchError in one sentence."""
        parts, host, port = self._allowed(url)
        deadline = _Deadline(self._timeout_s)
        backend = _Backend(self._addresses(host, port, deadline), deadline)
        target = quote(parts.path or "/", safe=_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_SAFE)
        where = httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target)
        named = f"[{host}]" if ":" in host else host
        headers: list[tuple[bytes | str, bytes | str]] = [
            ("host", named if parts.port is None else f"{named}:{port}"),
            *_HEADERS.items(),
        ]
        if parts.scheme == "https" and self._context is None:
            self._context = httpcore.default_ssl_context()
        try:
            with (
                httpcore.ConnectionPool(network_backend=backend, ssl_context=self._context) as pool,
                pool.stream("GET", where, headers=headers) as response,
            ):
                return self._read(response)
        except (httpcore.TimeoutException, TimeoutError):
            raise FetchError(f"the image did not arrive within {self._timeout_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
            raise FetchError(f"the image cannot be fetched: {type(error).__name__}") from None

    def _read(self, response: httpcore.Response) -> bytes:
        if response.status != 200:
            raise FetchError(f"the host of image_ref answered {response.status}")
        for name, value in response.headers:
            if name.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise FetchError("the host of image_ref sends the image compressed; let it send the file")
        content = bytearray()
        for chunk in response.iter_stream():
            content += chunk
            if len(content) > self._max_bytes:
                raise FetchError(f"the image of image_ref has more than {self._max_bytes:,} bytes")
        return bytes(content)

    def _allowed(self, url: str) -> tuple[SplitResult, str, int]:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise FetchError("the image_ref is no URL") from None
        good = parts.scheme in _PORTS and host and host.isascii() and port != 0 and "%" not in host
        if not good or parts.username is not None or parts.password is not None:
            raise FetchError("an image_ref reads http://HOST/PATH or https://HOST/PATH")
        usual = port is None or port == _PORTS[parts.scheme]
        number = port or _PORTS[parts.scheme]
        if not self._hosts.allows(host, number, usual=usual):
            raise FetchError(
                f"the host {host[:253]}:{number} is not allowed; name it in frames.allowed_hosts"
            )
        return parts, host, number

    def _addresses(self, host: str, port: int, deadline: _Deadline) -> list[str]:
        """Those of the host that may be connected to."""
        found = [host] if parse_address(host) is not None else self._look_up(host, port, deadline)
        parsed = [address for text in found if (address := parse_address(text)) is not None]
        allowed = [str(address) for address in parsed if self._hosts.reaches(address)]
        if parsed and not allowed:
            raise FetchError(
                f"the host {host[:253]} leads to {parsed[0]}, which is no public address; "
                "name that address or its network in frames.allowed_hosts"
            )
        if not allowed:
            raise FetchError(f"the host {host[:253]} has no address")
        return allowed

    def _look_up(self, host: str, port: int, deadline: _Deadline) -> Sequence[str]:
        """Beside this thread: the system's resolver knows no time limit."""
        found: list[str] = []

        def ask() -> None:
            try:
                found.extend(self._resolve(host, port))
            except (OSError, UnicodeError):
                return  # no address is what is told

        thread = threading.Thread(target=ask, name="resolve", daemon=True)
        thread.start()
        thread.join(deadline.left())
        if thread.is_alive():
            raise FetchError(
                f"the address of the host {host[:253]} was not found within {self._timeout_s:g} s"
            )
        return found


def _resolve(host: str, port: int) -> Sequence[str]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


class _Deadline:
    def __init__(self, timeout_s: float) -> None:
        self._ends = time.monotonic() + timeout_s

    def left(self) -> float:
        """Seconds. Raises TimeoutError where there are none."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Backend(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, whatever name it is given."""

    def __init__(self, addresses: Sequence[str], deadline: _Deadline) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception = OSError("there is no address")
        for address in self._addresses:
            try:
                stream = self._network.connect_tcp(address, port, self._deadline.left(), None, socket_options)
                return _Stream(stream, self._deadline)
            except httpcore.ConnectError as failed:
                error = failed
        raise error


class _Stream(httpcore.NetworkStream):
    """A connection whose every step is under the one deadline: neither a slow trickle of headers nor of the
    body lasts longer."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
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
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
