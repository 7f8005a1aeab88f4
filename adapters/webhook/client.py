"""WebhookClient: posts messages to one URL over a connection that stays open."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore

from adapters.http.connection import (
    FAILURES,
    TIMEOUTS,
    Deadline,
    ForbiddenHostError,
    HostError,
    PinnedBackend,
    Resolve,
)
from adapters.webhook.options import WebhookOptions
from agent import __version__
from agent.domain.errors import TransportError
from agent.ports.sinks import OutboxMessage

_MOST_READ = 64 * 1024
"""Most bytes read of an answer. It is read only so that the connection can be used again."""
_KEEP_OPEN_S = 60.0


class ForbiddenAddressError(TransportError):
    """The URL leads to an address that is not allowed. Waiting does not help."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver answered."""

    status: int
    retry_after_s: float | None = None
    """Pause that it asks for, in seconds; None without one, or if it is given as a date."""


def message_id(message: OutboxMessage) -> str:
    """The same id for each attempt, also after a restart, so that a receiver can drop repeated messages."""
    return hashlib.sha256(message.payload).hexdigest()[:32]


def signature(key: bytes, at: int, body: bytes) -> str:
    """The value of ``Sightline-Signature``: HMAC-SHA256 over the time, a dot and the body.

    Args:
        key: the secret that sender and receiver share.
        at: seconds since 1970, so that a receiver can refuse an old message that is sent again by others.
        body: as it is posted.

    >>> signature(b"0123456789abcdef", 1764410000, b"{}")
    't=1764410000,v1=5fe8ca6d3460f729a9b792ab2f33273b66d510a0bb677f589815f7a27fa82ad6'
    """
    signed = hmac.new(key, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


class WebhookClient:
    """For one thread. Each exchange has one time limit for name, connection, request and answer together.

    Redirects are not followed and proxies of the environment not used: both would lead elsewhere.
    """

    def __init__(
        self,
        options: WebhookOptions,
        *,
        resolve: Resolve | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._clock = clock
        self._deadline = Deadline(options.timeout_s)
        self._backend = PinnedBackend(options.hosts, self._deadline, options.setting, resolve)
        self._trusted = options.trusted
        if options.url.scheme == "https" and self._trusted is None:
            self._trusted = httpcore.default_ssl_context()
        self._pool = httpcore.ConnectionPool(
            ssl_context=self._trusted,
            max_connections=1,
            keepalive_expiry=_KEEP_OPEN_S,
            network_backend=self._backend,
        )

    def post(self, message: OutboxMessage) -> Answer:
        """Post the message's bytes as they are.

        Raises:
            TransportError: no answer in time.
            ForbiddenAddressError: the URL leads to an address that is not allowed.
        """
        self._deadline.restart()
        with self._translated():
            connected = self._backend.connected
            try:
                return self._post(message)
            except TIMEOUTS:
                raise
            except FAILURES:
                if self._backend.connected != connected:
                    raise
            # A connection that was already open may have been closed meanwhile; try a new one.
            return self._post(message)

    def connect(self) -> None:
        """Connect (by TLS for https) and disconnect without sending anything. Raises as :meth:`post`."""
        self._deadline.restart()
        url = self._options.url
        with self._translated():
            stream = self._backend.connect_tcp(url.host, url.port)
            try:
                if self._trusted is not None and url.scheme == "https":
                    stream = stream.start_tls(self._trusted, url.host)
            finally:
                stream.close()

    def close(self) -> None:
        """Close the connection; the next post opens another one."""
        self._pool.close()

    def _post(self, message: OutboxMessage) -> Answer:
        url = self._options.url.for_httpcore()
        with self._pool.stream(
            "POST", url, headers=self._headers(message), content=message.payload
        ) as answer:
            size = 0
            for chunk in answer.iter_stream():
                size += len(chunk)
                if size > _MOST_READ:  # leaving it unread closes the connection
                    break
            return Answer(answer.status, _retry_after_s(answer))

    def _headers(self, message: OutboxMessage) -> list[tuple[bytes | str, bytes | str]]:
        at = int(self._clock())
        headers: list[tuple[bytes | str, bytes | str]] = [
            ("Host", self._options.url.host_header),
            ("Content-Type", message.content_type),
            ("Content-Length", str(len(message.payload))),
            ("User-Agent", f"sightline/{__version__}"),
            ("Sightline-Message-Id", message_id(message)),
            ("Sightline-Timestamp", str(at)),
        ]
        if self._options.key is not None:
            headers.append(("Sightline-Signature", signature(self._options.key, at, message.payload)))
        return headers

    @contextmanager
    def _translated(self) -> Iterator[None]:
        options = self._options
        try:
            yield
        except ForbiddenHostError as error:
            raise ForbiddenAddressError(f"{options}: {error}") from None
        except HostError as error:
            raise TransportError(f"{options} cannot be reached: {error}") from None
        except TIMEOUTS:
            raise TransportError(f"{options} did not answer within {options.timeout_s:g} s") from None
        except FAILURES as error:
            reason = str(error)[:200] or type(error).__name__
            raise TransportError(f"{options} cannot be reached: {reason}") from None


def _retry_after_s(answer: httpcore.Response) -> float | None:
    """The header Retry-After (RFC 9110 section 10.2.3), if it is given in seconds."""
    for name, value in answer.headers:
        if name.lower() == b"retry-after" and value.strip().isdigit() and len(value) < 10:
            return float(value)
    return None
