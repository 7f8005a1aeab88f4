"""A receiver of webhooks: a real HTTP server that answers as a test sets and keeps what it received."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One POST, whatever was answered."""

    path: str
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes
    connection: tuple[str, int]
    """The client's end of it: equal for messages on one connection."""
    accepted: bool


@dataclass
class WebhookReceiver:
    """Where it listens and how it answers next; may be changed while it runs."""

    port: int
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with each answer."""
    manner: str = "answer"
    """``answer``; ``slow``: after ``delay_s``; ``silent``: never; ``hang-up``: in the middle of the answer;
    ``close``: answers, and closes the connection without saying so before."""
    delay_s: float = 0.2
    refuse: bytes | None = None
    """Bodies that contain this are answered with 422, whatever ``status`` is."""
    secure: bool = False
    received: list[Received] = field(default_factory=list)
    server: _Server | None = None
    closing: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hang_up(self) -> None:
        """Be down from now on, as a process that was ended is: the port is free again."""
        assert self.server is not None
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.server.end_connections()

    def url(self, path: str = "hook", host: str = "127.0.0.1") -> str:
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{host}:{self.port}/{path}"

    def keep(self, received: Received) -> None:
        with self._lock:
            self.received.append(received)

    @property
    def bodies(self) -> list[bytes]:
        with self._lock:
            return [one.body for one in self.received]

    @property
    def accepted(self) -> list[Received]:
        """What was answered with 2xx, in full."""
        with self._lock:
            return [one for one in self.received if one.accepted]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    receiver: WebhookReceiver

    def do_POST(self) -> None:
        receiver = self.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        manner, status = receiver.manner, receiver.status
        if receiver.refuse is not None and receiver.refuse in body:
            status = 422
        if manner == "slow":
            receiver.closing.wait(receiver.delay_s)
        whole = manner in ("answer", "slow", "close")
        headers = {name.lower(): value for name, value in self.headers.items()}
        accepted = whole and 200 <= status < 300
        receiver.keep(Received(self.path, headers, body, self.client_address, accepted))
        if manner == "silent":
            receiver.closing.wait(30)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in receiver.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2" if whole else "200")
        self.end_headers()
        self.wfile.write(b"ok")
        if manner in ("hang-up", "close"):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test's failure shows what matters."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.append(connection)
        return connection, address

    def end_connections(self) -> None:
        """Also those that clients keep open."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone, or that does not trust us."""


@contextmanager
def webhook_receiver(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[WebhookReceiver]:
    """On 127.0.0.1 and a free port, or ``port``. ``context``: by TLS."""

    class Handler(_Handler):
        """Of this receiver."""

    server = _Server(("127.0.0.1", port), Handler)
    receiver = Handler.receiver = WebhookReceiver(server.server_address[1], secure=context is not None)
    receiver.server = server
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hang_up()
        thread.join(10)
