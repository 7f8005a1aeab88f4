"""A camera that keeps a ledger: it publishes again only what the broker did not acknowledge."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.chaos.client import Client
from tests.chaos.messages import Message

WINDOW = 20
BURST = 10


class Producer(Client):
    """Publishes all of ``messages`` with QoS 1, through every loss of the connection.

    A message whose acknowledgement was lost with the connection is published again with the same id: MQTT
    promises "at least once", and one row is expected of both.
    """

    def __init__(
        self,
        url: str,
        messages: Iterable[Message],
        *,
        client_id: str = "chaos-camera",
        limit: int | None = None,
        rate_hz: float | None = None,
    ) -> None:
        """``limit``: how many messages may go out so far (see :meth:`allow`); None: all."""
        super().__init__(url, client_id)
        self._source = iter(messages)
        self._again: deque[Message] = deque()
        self._under_way: dict[int, Message] = {}
        self._limit = limit
        self._rate_hz = rate_hz
        self._due = 0.0
        self._taken = 0
        self._exhausted = False
        self.acknowledged: set[str] = set()
        """Keys of all messages that the broker has acknowledged."""
        self.republished = 0
        """Messages sent again because an acknowledgement was lost with its connection."""

    def allow(self, limit: int | None) -> None:
        """Let messages go out up to the ``limit``-th; None: all."""
        self._limit = limit

    def publish(self, messages: Iterable[Message]) -> None:
        """Add messages, which go out before what is left of the others."""
        with self.changed:
            self._again.extend(messages)

    @property
    def done(self) -> bool:
        """Whether everything was published and acknowledged."""
        return self._exhausted and not self._again and not self._under_way

    def wait_acknowledged(self, count: int, timeout_s: float) -> bool:
        """Whether the broker has taken ``count`` messages within ``timeout_s``."""
        return self.wait_for(lambda: len(self.acknowledged) >= count, timeout_s)

    def _turn(self, client: mqtt.Client) -> bool:
        for _ in range(BURST):
            if len(self._under_way) >= WINDOW or time.monotonic() < self._due:
                return False
            message = self._next()
            if message is None:
                return False
            info = client.publish(message.topic, message.payload, qos=1, properties=_properties(message))
            self._under_way[info.mid] = message
            if self._rate_hz is not None:
                self._due = max(self._due, time.monotonic() - 0.1) + 1.0 / self._rate_hz
        return True

    def _next(self) -> Message | None:
        if self._again:
            return self._again.popleft()
        if self._exhausted or (self._limit is not None and self._taken >= self._limit):
            return None
        message = next(self._source, None)
        if message is None:
            with self.changed:
                self._exhausted = True
                self.changed.notify_all()
            return None
        self._taken += 1
        return message

    def _acknowledged(self, mid: int, taken: bool) -> None:
        message = self._under_way.pop(mid, None)
        if message is None:
            return
        if taken:
            self.acknowledged.add(message.key)
        else:
            self._again.append(message)

    def _lost(self) -> None:
        self.republished += len(self._under_way)
        self._again.extendleft(reversed(self._under_way.values()))
        self._under_way.clear()


def _properties(message: Message) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    if message.properties:
        properties.UserProperty = list(message.properties)
    if message.content_type is not None:
        properties.ContentType = message.content_type
    return properties
