"""``EmbeddedBroker``: amqtt inside the process, on the loopback interface, for demonstrations and tests.

``LoopbackBroker`` is amqtt with its faults corrected.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from types import TracebackType
from typing import Any

from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import ListenerConfig
from amqtt.session import Session

from agent.domain.errors import TransportError

logger = logging.getLogger(__name__)

_START_S = 10.0
_USER = "sightline"
_CONNECT = 0x10
_LEVEL_311 = 4
_REFUSED_VERSION = b"\x20\x02\x00\x01"
_HEAD_TIMEOUT_S = 10.0
_LAST_PACKETS_S = 0.02


class EmbeddedBroker:
    """amqtt in a thread of its own with its own event loop; a context manager.

    It listens on the loopback interface only; every user of this machine may connect. It speaks MQTT 3.1.1
    and keeps everything in memory. The limits of amqtt 0.12: it does not bound what is in flight, gives up
    on a delivery that is unacknowledged after five seconds (the client still has it) and forgets
    unacknowledged deliveries with their connection. For more than one process, use a real broker.
    """

    def __init__(self, port: int = 0) -> None:
        """``port`` 0 takes a free one."""
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> EmbeddedBroker:
        """Start and wait until it accepts connections. Raises TransportError."""
        if self._thread is not None:
            raise TransportError("the embedded broker was started already")
        self._thread = threading.Thread(target=self._main, name="embedded-broker", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S) or self._error is not None:
            raise TransportError(f"the embedded broker did not start: {self._error or 'no answer in time'}")
        return self

    def stop(self) -> None:
        """Disconnect all clients and end the thread."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_START_S)
            self._thread = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """The address, with a user and no password: amqtt keeps sessions only of clients with a user."""
        return f"mqtt://{_USER}@127.0.0.1:{self._port}"

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------- the thread

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._error = error
            logger.debug("the embedded broker ended", exc_info=True)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        _silence_amqtt()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_unhandled)
        self._stop = asyncio.Event()
        broker = LoopbackBroker(self._configuration())
        await broker.start()
        try:
            self._port = _listening_port(broker)
            self._ready.set()
            await self._stop.wait()
        finally:
            await broker.shutdown()

    def _configuration(self) -> dict[str, Any]:
        return {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}},
            "plugins": {},
        }


def _listening_port(broker: Any) -> int:
    """The port that the system chose: only amqtt's asyncio server knows it."""
    server = broker._servers["default"].instance
    return int(server.sockets[0].getsockname()[1])


def _silence_amqtt() -> None:
    """amqtt warns of ordinary events (a client that comes with MQTT 5, a slow acknowledgement)."""
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors in tasks of clients that went away; asyncio would write them to standard error."""
    logger.debug("embedded broker: %s", context.get("message"), exc_info=context.get("exception"))


class LoopbackBroker(Broker):
    """amqtt that refuses versions other than 3.1.1 (return code 1), and keeps sessions and retained messages
    as the standard asks."""

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Read the head of the stream before amqtt does."""
        try:
            head, level = await asyncio.wait_for(_read_head(reader), _HEAD_TIMEOUT_S)
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            writer.close()
            return
        if level is not None and level != _LEVEL_311:
            writer.write(_REFUSED_VERSION)
            writer.close()
            return
        await self._client_connected(listener_name, _Replay(head, reader), StreamWriterAdapter(writer))

    async def _authenticate(self, session: Session, _listener: ListenerConfig) -> bool:
        """Accept every client; keep the sessions of those with a user (amqtt drops anonymous ones)."""
        session.is_anonymous = not session.username
        return True

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Publish only to the session that subscribed: amqtt sends all retained messages to any client."""
        if any(one is session for one, _qos in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class _Replay(ReaderAdapter):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        self._head = head
        self._rest = StreamReaderAdapter(reader)

    async def read(self, n: int = -1) -> bytes:
        """Exactly ``n`` bytes, as amqtt asks for them. Raises IncompleteReadError if the stream ends."""
        first, self._head = (self._head, b"") if n < 0 else (self._head[:n], self._head[n:])
        if first and len(first) == n:
            return first
        try:
            return first + await self._rest.read(n if n < 0 else n - len(first))
        except asyncio.IncompleteReadError:
            # amqtt handles packets in tasks: without a pause the end of the stream overtakes the
            # DISCONNECT before it, and the will of a client that disconnected is published.
            await asyncio.sleep(_LAST_PACKETS_S)
            raise

    def feed_eof(self) -> None:
        self._rest.feed_eof()


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, int | None]:
    """The bytes read, and the protocol level if the stream begins with a CONNECT packet."""
    head = await reader.readexactly(2)
    if head[0] & 0xF0 != _CONNECT:
        return head, None
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    length = await reader.readexactly(2)
    name = await reader.readexactly(min(int.from_bytes(length, "big"), 6))
    level = await reader.readexactly(1)
    return head + length + name + level, level[0]
