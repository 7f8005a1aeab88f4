"""A hub on this machine: what huggingface.co answers to HEAD and GET of /REPO/resolve/REVISION/FILE."""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass
class HubServer:
    """Files by path, ``REPO/FILE``; large ones are redirected to storage, as the real one does."""

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    """Each next transfer of a large file ends after so many bytes."""
    ranges: list[str] = field(default_factory=list)
    """The Range headers that came, "" for none."""
    moved: dict[str, str] = field(default_factory=dict)
    """Renamed repositories."""
    lies: bool = False
    """Send another sha256 than that of the content."""
    ignores_ranges: bool = False

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        content = self.server_hub.files.get(self.path.removeprefix("/storage/"))
        if self.path.startswith("/storage/") and content is not None:
            self._answer(200, {"ETag": '"0123456789abcdef0123456789abcdef-47"'}, content)
        else:
            self._resolve()

    def do_GET(self) -> None:
        if self.path.startswith("/storage/"):
            self._storage()
        else:
            self._resolve(body=True)

    def _resolve(self, *, body: bool = False) -> None:
        hub = self.server_hub
        match = re.fullmatch(r"/(.+)/resolve/main/(.+)", self.path)
        repo, name = (match[1], match[2]) if match else ("", "")
        if repo in hub.moved:
            self._answer(307, {"Location": f"/{hub.moved[repo]}/resolve/main/{name}"})
            return
        content = hub.files.get(f"{repo}/{name}")
        if content is None:
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
        elif name.endswith((".json", ".txt")):
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            self._answer(200, {"ETag": f'"{blob}"'}, content, body=body)
        else:
            digest = "0" * 64 if hub.lies else hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            location = {"Location": f"{hub.url.replace('127.0.0.1', 'localhost')}/storage/{repo}/{name}"}
            self._answer(302, {**linked, **location, "ETag": '"of-the-redirect"'})

    def _storage(self) -> None:
        hub = self.server_hub
        content = hub.files[self.path.removeprefix("/storage/")]
        asked = self.headers.get("Range", "")
        hub.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and not hub.ignores_ranges else 0
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        rest = content[start:]
        self.send_response(206 if start else 200)
        for name, value in {**headers, "Content-Length": str(len(rest))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest[: hub.cut_after.pop(0)] if hub.cut_after else rest)

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"", body: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
