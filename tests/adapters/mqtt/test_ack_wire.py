"""Acknowledgements as they go over the wire: in the order of receipt, and never across a connection."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from adapters.mqtt.publish_queue import PublishPacket
from agent.domain.frame import Delivery
from tests.adapters.mqtt.helpers import Agent, options, plain_client, until
from tests.fixtures.mosquitto import Mosquitto

PUBLISH, PUBACK = 3, 4


@dataclass
class Seen:
    """What went over one connection: packet identifiers of QoS 1 messages to the agent, and its answers."""

    delivered: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)


class Tap:
    """Between an agent and a real broker: forwards everything and reads along."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.connections: list[Seen] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self) -> None:
        """Both sides lose the connection."""
        for one in self._open:
            with contextlib.suppress(OSError):  # its pump may have closed it a moment ago
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._target))
            seen = Seen()
            self.connections.append(seen)
            self._open += [agent, broker]
            threading.Thread(target=_pump, args=(agent, broker, PUBACK, seen.answered), daemon=True).start()
            threading.Thread(target=_pump, args=(broker, agent, PUBLISH, seen.delivered), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, kind: int, numbers: list[int]) -> None:
    """Forward whole packets, and note the identifiers of those of ``kind`` that went on."""
    buffer = b""
    try:
        while data := source.recv(65536):
            buffer += data
            while (packet := _packet(buffer)) is not None:
                buffer = buffer[len(packet) :]
                number = _identifier(packet)
                sink.sendall(packet)
                if packet[0] >> 4 == kind and number is not None:
                    numbers.append(number)
    except OSError:
        pass  # the connection was cut, which is what the test wants
    finally:
        sink.close()


def _packet(buffer: bytes) -> bytes | None:
    """The first whole packet (MQTT 3.1.1 section 2.2)."""
    length = shift = 0
    for index, byte in enumerate(buffer[1:5], start=1):
        length += (byte & 127) << shift
        shift += 7
        if not byte & 128:
            whole = index + 1 + length
            return buffer[:whole] if len(buffer) >= whole else None
    return None


def _identifier(packet: bytes) -> int | None:
    at = 1
    while packet[at] & 128:
        at += 1
    at += 1
    if packet[0] >> 4 == PUBLISH:
        if not packet[0] & 0b110:
            return None
        at += 2 + int.from_bytes(packet[at : at + 2], "big")
    return int.from_bytes(packet[at : at + 2], "big") if len(packet) >= at + 2 else None


@pytest.fixture
def tap(mosquitto: Mosquitto) -> Iterator[Tap]:
    tap = Tap(mosquitto.port)
    yield tap
    tap.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_the_order_of_receipt_and_on_their_own_connection(
    mosquitto: Mosquitto, tap: Tap, version: str, seed: int
) -> None:
    """Given in any order by many threads, with the connection cut when half of them are given."""
    source = random.Random(seed)
    with Agent(options(tap.url, version=version)) as agent:
        assert agent.transport.wait_connected(15), agent.transport.last_error
        with plain_client(mosquitto.url) as (other, _):
            for number in range(18):
                assert other.publish(PublishPacket(agent.topic(), b"%d" % number)).wait(5)
            assert until(lambda: agent.has(18))
            first = list(agent.deliveries)
            source.shuffle(first)
            _acknowledge(first[:9])
            given = [one in first[:9] for one in agent.deliveries]
            due = given.index(False)  # those behind it wait for it
            assert until(lambda: len(tap.connections[0].answered) == due)
            tap.cut()
            assert until(lambda: agent.counters.get("mqtt_connections") == 2)
            _acknowledge(first[9:])  # of the old connection: they must not be sent on the new one
            assert until(lambda: agent.has(18 + 18 - due))
            second = list(agent.deliveries[18:])
            assert [one.payload for one in second] == [one.payload for one in agent.deliveries[due:18]]
            source.shuffle(second)
            _acknowledge(second)
            assert until(lambda: len(tap.connections[1].answered) == 18 - due)
    for seen in tap.connections:
        assert seen.answered == seen.delivered[: len(seen.answered)]
    assert len(tap.connections) == 2


def _acknowledge(deliveries: list[Delivery]) -> None:
    threads = [threading.Thread(target=one.acknowledge) for one in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
