"""An HTTP server that serves one image well and many badly."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ImageHost:
    """Where it listens, and what it was asked."""

    port: int
    image: bytes
    requests: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Of one of its images."""
        return f"http://{host}:{self.port}/{path}"


@contextmanager
def image_host(image: bytes, context: ssl.SSLContext | None = None) -> Iterator[ImageHost]:
    """``context``: by TLS. On 127.0.0.1 and a free port. The path chooses how it answers:

    ``good``, ``chunked``, ``close`` (no length), ``redirect``, ``missing``, ``huge`` (more than is declared),
    ``endless``, ``trickle`` (a byte of the body now and then), ``crawl`` (of the head), ``silent``,
    ``half`` (less than is declared), ``gzip`` (a bomb), ``junk`` (no HTTP), ``headers`` (without end),
    ``nothing`` (closes at once).
    """

    answers = _answers(image)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = b""
            while b"\r\n\r\n" not in asked:
                some = self.request.recv(4096)
                if not some:
                    return
                asked += some
            host.requests.append(asked)
            path = asked.split(b" ")[1].decode().lstrip("/").partition("?")[0]
            try:
                self.request.sendall(answers[path])
                self._go_on(path)
                self.request.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the client has seen enough

        def _go_on(self, path: str) -> None:
            if path in ("trickle", "crawl"):
                while not host.closing.wait(0.05):
                    self.request.sendall(b"X")
            elif path in ("endless", "headers"):
                line = b"X-Padding: " + b"x" * 1000 + b"\r\n"
                more = line if path == "headers" else b"10000\r\n" + bytes(0x10000) + b"\r\n"
                while not host.closing.is_set():
                    self.request.sendall(more)
            elif path == "silent":
                host.closing.wait(30)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

        def get_request(self) -> tuple[socket.socket, Any]:
            connection, address = super().get_request()
            if context is None:
                return connection, address
            connection.settimeout(10)
            return context.wrap_socket(connection, server_side=True), address

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that does not trust us."""

    with Server(("127.0.0.1", 0), Handler) as server:
        host = ImageHost(server.server_address[1], image)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield host
        finally:
            host.closing.set()
            server.shutdown()
            thread.join(10)


def _answers(image: bytes) -> dict[str, bytes]:
    """How each path's answer begins."""
    ok, length = b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n\r\n"
    chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
    bomb = zlib.compress(bytes(30_000_000), wbits=31)
    return {
        "good": ok + length % len(image) + image,
        "chunked": chunked + b"%x\r\n" % len(image) + image + b"\r\n0\r\n\r\n",
        "close": ok + b"Connection: close\r\n\r\n" + image,
        "redirect": b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n",
        "missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "huge": ok + length % 9_000_000 + bytes(9_000_000),
        "endless": chunked,
        "trickle": ok + length % 100_000,
        "crawl": ok,
        "silent": b"",
        "half": ok + length % len(image) + image[:-10],
        "gzip": ok + b"Content-Encoding: gzip\r\n" + length % len(bomb) + bomb,
        "junk": b"\x00\xffSSH-2.0\r\n\r\n" * 50,
        "headers": ok,
        "nothing": b"",
    }


def slow_resolver(host: str, port: int) -> list[str]:
    """A name server that does not answer."""
    time.sleep(5)
    return ["127.0.0.1"]
