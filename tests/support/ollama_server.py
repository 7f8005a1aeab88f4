"""An Ollama on this machine: its HTTP API with scripted answers, and a record of what was asked.

It speaks ``/api/version``, ``/api/tags``, ``/api/show``, ``/api/chat`` and ``/api/generate``. Each chat takes
the next reply of ``script``; where none is left, ``otherwise`` answers, which is a good model by default::

    with OllamaServer(script=[Drop(), Say("no JSON")]) as ollama:
        ...                      # the third question gets a proper answer
        ollama.stop()            # gone; ollama.start() brings it back at the same address

Nothing here waits by the clock for luck: slow answers end when the test is over or the caller has hung up.
"""

from __future__ import annotations

import json
import re
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

DIGEST = "845dbda0ea48ed749caafd9e6037047aa19acfcfd82e704d7ca97d631a0b697e"
MODEL = "qwen2.5:7b-instruct"
_DRIP_S = 0.02


@dataclass(frozen=True)
class Say:
    """An answer of the model; whatever is not a text is written as JSON."""

    content: Any
    done_reason: str = "stop"
    stats: Mapping[str, int] = field(default_factory=dict)
    """Tokens and durations, as Ollama names them."""

    @property
    def text(self) -> str:
        """The content as the model writes it."""
        return self.content if isinstance(self.content, str) else json.dumps(self.content)


@dataclass(frozen=True)
class Status:
    """An error of the server."""

    code: int
    error: str


@dataclass(frozen=True)
class Raw:
    """A body of any kind with status 200."""

    body: bytes


@dataclass(frozen=True)
class Slow:
    """No byte until ``OllamaServer.release`` is set; then a good answer."""


@dataclass(frozen=True)
class Drip:
    """One byte after the other without an end; with ``headers`` already before the body."""

    headers: bool = False


@dataclass(frozen=True)
class Drop:
    """The connection breaks off in the middle of the answer."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The text of the user's messages, the last one last."""
        return "\n".join(m["content"] for m in self.body["messages"] if m["role"] == "user")

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the answer that the schema asks for."""
        return frozenset(self.body["format"]["properties"])

    @property
    def data(self) -> dict[str, Any]:
        """The part of the question about the product."""
        found = re.search(r"<data>\n(.*?)\n</data>", self.text, re.DOTALL)
        return json.loads(found[1]) if found else {}


Reply = Say | Status | Raw | Slow | Drip | Drop
Model = Callable[[Asked], Reply]


def good_model(asked: Asked) -> Reply:
    """Answers whatever the agent asks, about the product that the data name."""
    if "english" in asked.keys:
        return Say({"english": ENGLISH.get(asked.data["name"], asked.data["name"])})
    if "nouns" in asked.keys:
        return Say({"nouns": _nouns(asked.data)})
    if "tags" in asked.keys:
        return Say({"tags": ["gear", "metal part", "tooth"]})
    if "defects" in asked.keys:
        return Say({"defects": [_defect(name, severity) for name, severity in DEFECTS.items()]})
    if "noun" in asked.data:
        noun = asked.data["noun"]
        return Say({side: [text.format(noun) for text in texts] for side, texts in SENTENCES.items()})
    return Say({side: _agnostic(side, asked.body["options"]["seed"]) for side in ("normal", "anomalous")})


ENGLISH = {
    "Dichtungsring aus Gummi": "rubber sealing ring",
    "六角ボルト": "hex bolt",
    "tuerca de latón": "brass nut",
    "Schraube": "screw",
}
"""What a good model knows of other languages."""
DEFECTS = {
    "scratch": "minor",
    "crack": "critical",
    "stain": "minor",
    "missing piece": "major",
    "deep gouge": "major",
    "foreign fibre": "major",
}
SENTENCES = {
    "normal": (
        "a {} with a clean and even surface",
        "a complete {} in its usual shape",
        "a {} with smooth edges all around",
        "a flawless {} with uniform colour",
        "a {} without scratches or stains",
        "a freshly made {} with sharp contours",
    ),
    "anomalous": (
        "a {} with a long scratch across it",
        "a {} with a dark stain on its surface",
        "a cracked {} with a thin jagged line",
        "a {} with a missing piece at its edge",
        "a {} with a deep gouge in the middle",
        "a {} with a fibre lying on top",
    ),
}
_WORDS = {
    "normal": (
        "smooth",
        "clean",
        "even",
        "spotless",
        "uniform",
        "regular",
        "bright",
        "tidy",
        "neat",
        "crisp",
    ),
    "anomalous": (
        "scratched",
        "cracked",
        "stained",
        "dented",
        "torn",
        "damaged",
        "gouged",
        "smeared",
        "rusty",
        "broken",
    ),
}


def _nouns(data: dict[str, Any]) -> list[str]:
    name = str(data.get("name in English", data.get("name", "")))
    called = re.split(r" (?:with|of|for|in) ", name.lower())[0]
    words = re.findall(r"[a-z]{2,}", called)
    seen = [str(tag) for tag in data.get("seen in its first images", [])]
    nouns = [" ".join(words[-2:]), words[-1]] if words else []
    return [*nouns, *seen] or ["gear"]


def _defect(name: str, severity: str) -> dict[str, Any]:
    return {"name": name, "phrases": [f"a {name}", f"a visible {name} on the surface"], "severity": severity}


def _agnostic(side: str, seed: int) -> list[str]:
    words = _WORDS[side]
    pairs = [(words[seed % 10], words[i % 10], "abcdefghij"[i // 2]) for i in range(20)]
    return [
        f"a photo of an object that looks {one} and {other} from side {view}" for one, other, view in pairs
    ]


class OllamaServer:
    """A context manager; ``stop`` and ``start`` as often as a test likes, always at the same address.

    Args:
        script: replies to the next chats.
        otherwise: who answers when the script is over.
        models: name to capabilities. ``None`` capabilities: an old server reports nothing.
        port: to listen on, 0 for a free one.
        refuses_think: answer 400 to a question that speaks of thinking, as for a model that cannot.
        version: that it gives itself. Before 0.5 it takes no schema.
        key: refuse requests without this bearer token, with 401.
    """

    def __init__(
        self,
        script: Iterable[Reply] = (),
        *,
        otherwise: Model = good_model,
        models: dict[str, tuple[str, ...] | None] | None = None,
        digest: str = DIGEST,
        port: int = 0,
        refuses_think: bool = False,
        version: str = "0.13.5",
        key: str | None = None,
    ) -> None:
        self.script: deque[Reply] = deque(script)
        self.otherwise = otherwise
        self.models: dict[str, tuple[str, ...] | None] = (
            {MODEL: ("completion", "tools")} if models is None else models
        )
        self.digest = digest
        self.refuses_think = refuses_think
        self.version = version
        self.key = key
        self.requests: list[Asked] = []
        """All requests, in the order in which they came."""
        self.release = threading.Event()
        """Lets slow answers go; set when the server ends."""
        self.hung_up = threading.Event()
        """Set when a caller left before its answer was complete."""
        self._address = ("127.0.0.1", port)
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it is, or was and will be."""
        return f"http://127.0.0.1:{self._address[1]}"

    @property
    def chats(self) -> list[Asked]:
        """The questions that were asked."""
        return [asked for asked in self.requests if asked.path == "/api/chat"]

    def resolve(self, name: str) -> str | None:
        """The model that a name means: case does not matter, and without a tag it is the latest."""
        tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        wanted = (tagged.lower(), name.lower())
        return next((model for model in self.models if model.lower() in wanted), None)

    def start(self) -> OllamaServer:
        """Listen, at the address of before if there was one."""

        class Handler(_Handler):
            ollama = self

        self.release.clear()
        self._server = _Listener(self._address, Handler)
        self._address = ("127.0.0.1", int(self._server.server_address[1]))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.release.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> OllamaServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is not an error of the server."""


class _Handler(BaseHTTPRequestHandler):
    ollama: OllamaServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.ollama.requests.append(Asked(self.path, {}))
        if self._refused():
            return
        if self.path == "/api/version":
            self._json({"version": self.ollama.version})
        elif self.path == "/api/tags":
            listed = [
                {"name": n, "model": n, "digest": self.ollama.digest, "size": 1} for n in self.ollama.models
            ]
            self._json({"models": listed})
        else:
            self._json({"error": "404 page not found"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(self.path, body)
        self.ollama.requests.append(asked)
        if self._refused():
            return
        model = self.ollama.resolve(body.get("model", ""))
        if model is None:
            self._json({"error": f"model '{body.get('model')}' not found"}, 404)
        elif self.path == "/api/show":
            capabilities = self.ollama.models[model]
            known = {} if capabilities is None else {"capabilities": list(capabilities)}
            self._json({"details": {"family": "test"}, "model_info": {}, **known})
        elif self.path == "/api/generate":
            self._json({"model": body["model"], "response": "", "done": True, "done_reason": "unload"})
        else:
            self._chat(asked)

    def _refused(self) -> bool:
        ollama = self.ollama
        if ollama.key is None or self.headers["Authorization"] == f"Bearer {ollama.key}":
            return False
        self._json({"error": "unauthorized"}, 401)
        return True

    def _chat(self, asked: Asked) -> None:
        ollama = self.ollama
        if ollama.version.startswith("0.4"):
            reason = "json: cannot unmarshal object into Go struct field ChatRequest.format of type string"
            self._json({"error": reason}, 400)
            return
        if ollama.refuses_think and "think" in asked.body:
            self._json({"error": f'"{asked.body["model"]}" does not support thinking'}, 400)
            return
        reply = ollama.script.popleft() if ollama.script else ollama.otherwise(asked)
        if isinstance(reply, Slow):
            if not self._wait():
                self.close_connection = True
                return
            reply = good_model(asked)
        match reply:
            case Say():
                self._say(asked, reply)
            case Status():
                self._json({"error": reply.error}, reply.code)
            case Raw():
                self._send(200, reply.body)
            case Drip():
                self._drip(headers=reply.headers)
            case Drop():
                self._head(200, 10_000)
                self.wfile.write(b'{"model": "')
                self.connection.shutdown(socket.SHUT_RDWR)

    def _say(self, asked: Asked, reply: Say) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if asked.body.get("think"):
            message["thinking"] = "hm"
        self._json(
            {
                "model": asked.body["model"],
                "created_at": "2026-01-01T00:00:00Z",
                "message": message,
                "done": True,
                "done_reason": reply.done_reason,
                **reply.stats,
            }
        )

    def _wait(self) -> bool:
        """Until the test lets go (True) or the caller hangs up (False)."""
        while not self.ollama.release.wait(_DRIP_S):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.ollama.hung_up.set()
                return False
        return True

    def _drip(self, *, headers: bool) -> None:
        try:
            if headers:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            else:
                self._head(200, 1_000_000)
                self.wfile.write(b'{"model": "')
            while not self.ollama.release.wait(_DRIP_S):
                self.wfile.write(b"a")
        except OSError:
            self.ollama.hung_up.set()
        self.close_connection = True

    def _json(self, content: dict[str, Any], code: int = 200) -> None:
        self._send(code, json.dumps(content).encode())

    def _send(self, code: int, body: bytes) -> None:
        self._head(code, len(body))
        self.wfile.write(body)

    def _head(self, code: int, length: int) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(length))
        self.end_headers()
