"""A witness on the wire between agent and broker: which frame was acknowledged, and when."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.chaos.messages import BASE, FRAME_TOPIC
from tests.fixtures.mosquitto import free_port

_OnPacket = Callable[[int, int, bytes], None]
_CHUNK = 65_536
_PUBLISH, _PUBACK = 3, 4


@dataclass
class Testimony:
    """What went over the wire."""

    frames_delivered: set[str] = field(default_factory=set)
    frames_acknowledged: set[str] = field(default_factory=set)
    """The agent acknowledged these to the broker."""
    verdicts_published: set[str] = field(default_factory=set)
    verdicts_acknowledged: set[str] = field(default_factory=set)
    """The broker acknowledged the verdicts on these to the agent."""
    out_of_order: int = 0
    """Acknowledgements that overtook an earlier delivery of their connection."""
    strangers: int = 0
    """Acknowledgements of something that was not delivered on their connection."""
    connections: int = 0


class Witness:
    """A proxy before the broker that reads along. It changes nothing and adds no delay of its own."""

    def __init__(self, broker_port: int) -> None:
        self._broker = ("127.0.0.1", broker_port)
        self._port = free_port()
        self._server = socket.create_server(("127.0.0.1", self._port))
        self._lock = threading.Lock()
        self._closed = False
        self.testimony = Testimony()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="witness", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._server.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                agent, _ = self._server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(self._broker, timeout=5)
            except OSError:
                agent.close()  # as a broker that is away refuses
                continue
            broker.settimeout(None)
            for one in (agent, broker):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(self.testimony, self._lock)
            self.testimony.connections += 1
            for source, target, reader in (
                (agent, broker, link.from_agent),
                (broker, agent, link.from_broker),
            ):
                threading.Thread(target=_pump, args=(source, target, reader), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, reader: _Reader) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            # Noted first: what the other side has done with it can then never be ahead of the notes.
            reader.feed(data)
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class _Link:
    """One connection, both ways."""

    def __init__(self, testimony: Testimony, lock: threading.Lock) -> None:
        self._testimony = testimony
        self._lock = lock
        self._due: deque[int] = deque()
        self._delivered: dict[int, str] = {}
        self._published: dict[int, str] = {}
        self.from_agent = _Reader(self._from_agent)
        self.from_broker = _Reader(self._from_broker)

    def _from_broker(self, kind: int, flags: int, body: bytes) -> None:
        with self._lock:
            if kind == _PUBACK:
                key = self._published.pop(int.from_bytes(body[:2], "big"), None)
                if key is not None:
                    self._testimony.verdicts_acknowledged.add(key)
            elif kind == _PUBLISH and (flags >> 1) & 3 == 1:
                topic, mid, properties, payload = _publish(body)
                self._due.append(mid)
                self._delivered[mid] = _frame_key(topic, properties, payload)
                if topic == FRAME_TOPIC:
                    self._testimony.frames_delivered.add(self._delivered[mid])

    def _from_agent(self, kind: int, flags: int, body: bytes) -> None:
        with self._lock:
            if kind == _PUBACK:
                self._acknowledged(int.from_bytes(body[:2], "big"))
            elif kind == _PUBLISH and (flags >> 1) & 3 == 1:
                topic, mid, _properties, payload = _publish(body)
                if topic == f"{BASE}/verdict":
                    self._published[mid] = json.loads(payload)["frame_id"]
                    self._testimony.verdicts_published.add(self._published[mid])

    def _acknowledged(self, mid: int) -> None:
        key = self._delivered.pop(mid, None)
        if key is None:
            self._testimony.strangers += 1
            return
        if self._due[0] != mid:
            self._testimony.out_of_order += 1
        self._due.remove(mid)
        if key in self._testimony.frames_delivered:  # the look at other agents acknowledges their status, too
            self._testimony.frames_acknowledged.add(key)


class _Reader:
    """Cuts a stream into MQTT control packets (MQTT 5 section 2.1)."""

    def __init__(self, on_packet: _OnPacket) -> None:
        self._on_packet = on_packet
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while True:
            length = shift = 0
            for index in range(1, 5):
                if index >= len(self._buffer):
                    return
                length |= (self._buffer[index] & 0x7F) << shift
                shift += 7
                if not self._buffer[index] & 0x80:
                    break
            end = index + 1 + length
            if len(self._buffer) < end:
                return
            first, body = self._buffer[0], bytes(self._buffer[index + 1 : end])
            del self._buffer[:end]
            self._on_packet(first >> 4, first & 0x0F, body)


def _publish(body: bytes) -> tuple[str, int, dict[str, str], bytes]:
    """Topic, packet identifier, user properties and payload of a PUBLISH with QoS 1 (MQTT 5)."""
    size = int.from_bytes(body[:2], "big")
    topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
    properties = Properties(PacketTypes.PUBLISH)
    _, taken = properties.unpack(rest[2:])
    user = dict(getattr(properties, "UserProperty", ()))
    return topic, int.from_bytes(rest[:2], "big"), user, rest[2 + taken :]


def _frame_key(topic: str, properties: dict[str, str], payload: bytes) -> str:
    if topic != FRAME_TOPIC:
        return topic
    if "frame_id" in properties:
        return properties["frame_id"]
    return f"h-{hashlib.sha256(BASE.encode() + bytes(1) + payload).hexdigest()[:24]}"
