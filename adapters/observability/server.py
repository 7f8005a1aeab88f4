"""``MetricsServer``: ``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, for a trusted network."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from adapters.observability.health import Health, Report
from agent.domain.errors import ConfigurationError

logger = logging.getLogger(__name__)

CLIENTS = 16
"""Clients served at once; further ones are refused, and Prometheus tries again."""
SILENT_S = 5.0
"""How long a client may send nothing."""
LONGEST_S = 20.0
"""How long one request may take from the first byte to the last."""
_POLL_S = 0.2

_LONGEST_ANSWER = 65_536

_TEXT = "text/plain; charset=utf-8"


class Answers:
    """The pages that the server answers with."""

    def __init__(self, registry: CollectorRegistry, health: Health, info: Mapping[str, str]) -> None:
        self._registry = registry
        self._health = health
        self._info = info
        self._paths: Mapping[str, Callable[[str], tuple[int, str, bytes]]] = {
            "/metrics": self._metrics,
            "/healthz": lambda _accept: self._report(self._health.healthy()),
            "/readyz": lambda _accept: self._report(self._health.ready()),
        }

    def get(self, path: str, accept: str) -> tuple[int, str, bytes] | None:
        """Status, content type and body; None if there is no such page."""
        page = self._paths.get(path.partition("?")[0])
        return None if page is None else page(accept)

    def _metrics(self, accept: str) -> tuple[int, str, bytes]:
        encode, content_type = choose_encoder(accept)
        return HTTPStatus.OK, content_type, encode(self._registry)

    def _report(self, report: Report) -> tuple[int, str, bytes]:
        status = HTTPStatus.OK if report.ok else HTTPStatus.SERVICE_UNAVAILABLE
        document = {**report.document(), **{key: self._info[key] for key in ("agent", "version")}}
        return status, "application/json", json.dumps(document, indent=2).encode() + b"\n"


class MetricsServer:
    """Serves in a daemon thread until :meth:`close`."""

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        """Open the port; 0: any free one.

        Raises ConfigurationError with a remedy if it cannot be opened.
        """
        handler = type("_BoundHandler", (_Handler,), {"answers": answers})
        self._server = _bound(host, port, handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True
        )

    @property
    def url(self) -> str:
        """``http://HOST:PORT``, with the port in use."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Close the port."""
        if self._thread.ident is not None:
            self._server.shutdown()
        self._server.server_close()


def check_port(host: str, port: int) -> None:
    """Open the port and close it again. Raises ConfigurationError if it cannot be opened."""
    _bound(host, port, _Handler).server_close()


def who_serves(host: str, port: int) -> str | None:
    """The id of the agent that answers on that port; None if none does."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is opened here
    connection = http.client.HTTPConnection(everywhere.get(host, host), port, timeout=SILENT_S)
    try:
        connection.request("GET", "/healthz")
        document = json.loads(connection.getresponse().read(_LONGEST_ANSWER))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    agent = document.get("agent") if isinstance(document, dict) else None
    return agent if isinstance(agent, str) else None


def _bound(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return _Server(family, (host, port), handler)
    except OSError as error:
        raise ConfigurationError(_sentence(host, port, error)) from None


def _sentence(host: str, port: int, error: OSError) -> str:
    where = f"port {port} on {host}"
    ways = "choose another metrics.port, or set metrics.enabled: false"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use, perhaps by another agent on this machine; {ways}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where} may not be opened by this user; {ways}"
    return f"{where} cannot be opened ({error.strerror or error}); check metrics.host, {ways}"


class _Server(ThreadingMixIn, TCPServer):
    """Bounded in clients and in time. Not HTTPServer: that one queries DNS for a name that is not needed."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = CLIENTS

    def __init__(self, family: int, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AddressFamily(family)
        self._free = threading.BoundedSemaphore(CLIENTS)
        self._open: dict[Any, float] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread is available
            self._release(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._release(request)

    def service_actions(self) -> None:
        """Called at each poll: cut off clients that take too long."""
        now = time.monotonic()
        for request, since in list(self._open.items()):
            if now - since > LONGEST_S:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a client that went away at DEBUG only; no traceback goes to stderr."""
        logger.debug("a request from %s failed", client_address[0], exc_info=True)  # noqa: LOG014 - called from one

    def _release(self, request: Any) -> None:
        if self._open.pop(request, None) is not None:
            self._free.release()


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD; HTTP/1.0, so that each connection ends with its answer."""

    answers: Answers
    timeout = SILENT_S

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        try:
            page = self.answers.get(self.path, self.headers.get("Accept", ""))
        except Exception:
            logger.exception("the page %s could not be made", self.path[:80])
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "see the agent's log")
            return
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND, "there are /metrics, /healthz and /readyz")
        else:
            self._send(*page)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Plain text, without what the client sent and without HTML."""
        if code == HTTPStatus.NOT_IMPLEMENTED:  # what the base class calls a method that it does not know
            code, message = HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered"
        status = HTTPStatus(code)
        message = message if status in _OURS else None
        self.close_connection = True
        self._send(status, _TEXT, f"{message or status.phrase}\n".encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """The server's name, without the versions of its parts."""
        return "sightline"

    def log_message(self, format: str, *args: Any) -> None:
        """Log at DEBUG only: scrapes come every few seconds."""
        logger.debug("%s %s", self.address_string(), format % args)


_OURS = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
