"""amqtt, taught to refuse MQTT 5 at once and to keep sessions.

amqtt 0.12 reads the CONNECT of MQTT 5 as one of 3.1.1 and waits for bytes that never come. The protocol level
stands in the first bytes of CONNECT, so that a client can be told before that (MQTT 3.1.1 section 3.1.2.2).
"""

from __future__ import annotations

import asyncio

from amqtt.adapters import ReaderAdapter, StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import ListenerConfig
from amqtt.session import Session

_CONNECT = 0x10
_LEVEL_311 = 4
_REFUSED_VERSION = b"\x20\x02\x00\x01"
_HEAD_TIMEOUT_S = 10.0
_LAST_PACKETS_S = 0.02


class LoopbackBroker(Broker):
    """Answers CONNECT of another version than 3.1.1 with return code 1 and closes."""

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Look at the head of the stream before amqtt does."""
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
        """Let everybody in; keep the sessions of those who name a user (amqtt drops anonymous ones)."""
        session.is_anonymous = not session.username
        return True

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Only to those who subscribed: amqtt sends everybody's retained messages to whoever connects."""
        if any(one is session for one, _qos in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class _Replay(ReaderAdapter):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        self._head = head
        self._rest = StreamReaderAdapter(reader)

    async def read(self, n: int = -1) -> bytes:
        """Exactly ``n`` bytes, as amqtt asks for them; raises IncompleteReadError where the stream ends."""
        first, self._head = (self._head, b"") if n < 0 else (self._head[:n], self._head[n:])
        if first and len(first) == n:
            return first
        try:
            return first + await self._rest.read(n if n < 0 else n - len(first))
        except asyncio.IncompleteReadError:
            # amqtt handles packets in tasks: without a pause the end of the stream overtakes the
            # DISCONNECT before it, and the will of a client that said goodbye is published.
            await asyncio.sleep(_LAST_PACKETS_S)
            raise

    def feed_eof(self) -> None:
        self._rest.feed_eof()


async def _read_head(reader: asyncio.StreamReader) -> tuple[bytes, int | None]:
    """The bytes read, and the protocol level where the stream begins with a CONNECT packet."""
    head = await reader.readexactly(2)
    if head[0] & 0xF0 != _CONNECT:
        return head, None
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    length = await reader.readexactly(2)
    name = await reader.readexactly(min(int.from_bytes(length, "big"), 6))
    level = await reader.readexactly(1)
    return head + length + name + level, level[0]
