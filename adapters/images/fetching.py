"""Fetcher: images by HTTP from allowed hosts, bounded in bytes and time."""

from __future__ import annotations

import ssl

import httpcore

from adapters.http.connection import (
    FAILURES,
    TIMEOUTS,
    Deadline,
    HostError,
    HttpUrl,
    PinnedBackend,
    Resolve,
)
from adapters.http.hosts import AllowedHosts

_HEADERS = {"accept": "image/jpeg, image/png", "accept-encoding": "identity", "user-agent": "sightline"}
_SETTING = "frames.allowed_hosts"


class FetchError(ValueError):
    """The URL may not be followed, or leads to no image. No message holds the URL: it may name a key."""


class Fetcher:
    """Fetches one image at a time, each over a connection of its own; any thread may call.

    Redirects are not followed and proxies of the environment not used: both would lead elsewhere.
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
        self._resolve = resolve
        self._context = context

    def fetch(self, url: str) -> bytes:
        """Raises FetchError in one sentence."""
        where = self._allowed(url)
        backend = PinnedBackend(self._hosts, Deadline(self._timeout_s), _SETTING, self._resolve)
        headers: list[tuple[bytes | str, bytes | str]] = [("host", where.host_header), *_HEADERS.items()]
        if where.scheme == "https" and self._context is None:
            self._context = httpcore.default_ssl_context()
        try:
            with (
                httpcore.ConnectionPool(network_backend=backend, ssl_context=self._context) as pool,
                pool.stream("GET", where.for_httpcore(), headers=headers) as response,
            ):
                return self._read(response)
        except HostError as error:
            raise FetchError(str(error)) from None
        except TIMEOUTS:
            raise FetchError(f"the image did not arrive within {self._timeout_s:g} s") from None
        except FAILURES as error:
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

    def _allowed(self, url: str) -> HttpUrl:
        try:
            where = HttpUrl.parse(url, "image_ref")
        except ValueError as error:
            raise FetchError(str(error)) from None
        if not self._hosts.allows(where.host, where.port, usual=where.usual_port):
            raise FetchError(
                f"the host {where.host[:253]}:{where.port} is not allowed; name it in {_SETTING}"
            )
        return where
