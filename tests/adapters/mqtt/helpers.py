"""What the tests of this room share."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt

from adapters.mqtt.connection import Connection
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.session import Session
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from agent.domain.frame import Delivery
from agent.telemetry import Counters

_NUMBERS = itertools.count()
DEADLINE_S = 15.0


def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> bool:
    """Wait for a condition; False after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def unique(prefix: str) -> str:
    """A name that no other test uses: brokers are shared."""
    return f"{prefix}-{next(_NUMBERS)}"


def options(url: str, **more: object) -> BrokerOptions:
    """Options with a client id of the test's own and short delays."""
    given = {"client_id": unique("test"), "backoff_min_s": 0.05, "backoff_max_s": 0.2, **more}
    return BrokerOptions(url, **given)  # type: ignore[arg-type]


class Agent:
    """A transport whose deliveries are kept in a list."""

    def __init__(self, opts: BrokerOptions, site: str | None = None, *, prompt: bool = False) -> None:
        """``prompt`` acknowledges each delivery at once."""
        self.prompt = prompt
        self.topics = Topics(site or unique("site"), "cell-7")
        self.deliveries: list[Delivery] = []
        self.counters = Counters()
        self.transport = MqttTransport(opts, self.topics, lambda: {"version": "1.2.3"}, self.counters)

    def __enter__(self) -> Agent:
        self.transport.start(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.stop()

    def _keep(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self.prompt:
            delivery.acknowledge()

    def has(self, count: int) -> bool:
        """Whether that many deliveries came."""
        return len(self.deliveries) >= count

    def topic(self, kind: str = "frame", camera: str = "cam") -> str:
        return f"{self.topics.site}/line/{camera}/{kind}"

    def sever(self) -> None:
        """Cut the network connection under the client, as a pulled cable does."""
        connection = self.transport._session._connection
        assert connection is not None
        sock = connection._client.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def plain_client(
    url: str, *subscriptions: str, **more: object
) -> Iterator[tuple[Session, list[mqtt.MQTTMessage]]]:
    """Another client of the broker: publishes, and keeps what it receives."""
    session = _PlainSession(options(url, session_expiry_s=0, **more), Counters(), subscriptions=subscriptions)
    session.start()
    try:
        assert session.wait_connected(DEADLINE_S), session.last_error
        yield session, session.received
    finally:
        session.stop()


class _PlainSession(Session):
    """Keeps and acknowledges what it receives, without a will and without presence."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.received: list[mqtt.MQTTMessage] = []

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        self.received.append(message)
        if message.qos:
            connection.unacknowledged.receive(message.mid)()


class OldBroker:
    """In front of a real broker, a stand-in for one that knows no MQTT 5.

    ``manner`` is ``refuse`` (CONNACK with return code 1, as MQTT 3.1.1 asks) or ``close`` (hangs up).
    ``refused`` is how many of the subscriptions, counted from the last, it does not grant.
    """

    def __init__(self, port: int, manner: str, refused: int = 0) -> None:
        self._target = port
        self._manner = manner
        self._refused = refused
        self._server = socket.create_server(("127.0.0.1", 0))
        self.levels: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = client.recv(4096)
        level = head[head.index(b"MQTT") + 4]
        self.levels.append(level)
        if level != 4:
            if self._manner == "refuse":
                client.sendall(b"\x20\x02\x00\x01")
            client.close()
            return
        broker = socket.create_connection(("127.0.0.1", self._target))
        broker.sendall(head)
        threading.Thread(target=_pump, args=(client, broker), daemon=True).start()
        _pump(broker, client, self._refused)


def _pump(source: socket.socket, sink: socket.socket, refused: int = 0) -> None:
    try:
        while data := bytearray(source.recv(65536)):
            if refused and data[0] == 0x90:  # SUBACK: length, two bytes of identifier, one code a filter
                end = 2 + data[1]
                data[end - refused : end] = b"\x80" * refused
            sink.sendall(data)
    except OSError:
        pass
    finally:
        sink.close()


class Wire:
    """Between a client and a real broker. While ``mute`` is set, the client gets no answers."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.mute = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        broker = socket.create_connection(("127.0.0.1", self._target))
        threading.Thread(target=self._forward, args=(client, broker), daemon=True).start()
        try:
            while data := broker.recv(65536):
                if not self.mute.is_set():
                    client.sendall(data)
        except OSError:
            pass  # the client has gone
        finally:
            client.close()
            broker.close()

    @staticmethod
    def _forward(client: socket.socket, broker: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                broker.sendall(data)
            broker.shutdown(socket.SHUT_WR)  # closing would not be seen while the other thread reads
        except OSError:
            pass  # the broker has gone
