"""``PublishQueue``: packets on their way to the broker, within its limits, each with a ``Ticket``."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.domain.errors import TransportError, UndeliverableError

FAILURE = 0x80
"""MQTT 5 section 2.4: reason codes from here on mean failure."""

_REMEDIES = {
    "Not authorized": "give this user (broker.username) the right to publish on that topic",
    "Topic name invalid": "change the section topics of the configuration",
    "Packet too large": "raise the broker's limit, or send smaller images",
}

_FIXED_HEADER = 5
_DEFAULT_IN_FLIGHT = 20


def refusal(reason: ReasonCode) -> str:
    """A sentence for the reason code of a PUBACK from FAILURE on, with the remedy if there is one."""
    remedy = _REMEDIES.get(str(reason))
    return f"the broker refused it: {reason}" + (f"; {remedy}" if remedy else "")


@dataclass(frozen=True, slots=True)
class PublishPacket:
    """An application message for the broker. MQTT 3.1.1 omits the properties that it lacks."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    expiry_s: int | None = None

    def properties(self) -> Properties:
        """The PUBLISH properties (MQTT 5 section 3.3.2.3); not to be changed, as equal packets share them."""
        return _properties(self.content_type, self.correlation_data, self.user_properties, self.expiry_s)


@lru_cache(maxsize=16)  # paho takes as long to make them as for the rest of a packet
def _properties(
    content_type: str | None,
    correlation_data: bytes | None,
    user_properties: tuple[tuple[str, str], ...],
    expiry_s: int | None,
) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    if content_type is not None:
        properties.ContentType = content_type
    if correlation_data is not None:
        properties.CorrelationData = correlation_data
    if user_properties:
        properties.UserProperty = list(user_properties)
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


class Ticket:
    """A publish under way (agent.ports.PublishTicket)."""

    __slots__ = ("_acknowledged", "_event", "_refused", "error")

    def __init__(self) -> None:
        self._event = threading.Event()
        self._acknowledged = False
        self._refused = False
        self.error: str | None = None
        """Why it failed, if it did: refused by the broker, or the connection was lost."""

    def resolve(self, error: str | None, *, refused: bool = False) -> None:
        """Settle the ticket: ``error`` None means that the broker has acknowledged."""
        self.error = error
        self._refused = refused
        self._acknowledged = error is None
        self._event.set()

    @property
    def failed(self) -> bool:
        """Whether no acknowledgement can come: refused, or the connection is gone."""
        return self._event.is_set() and not self._acknowledged

    @property
    def refused(self) -> str | None:
        """Why the broker refused it; None if it failed for lack of a connection."""
        return self.error if self.failed and self._refused else None

    def wait(self, timeout_s: float) -> bool:
        """True once the broker has acknowledged; False after the timeout or a failure."""
        settled = self._event.is_set() or (timeout_s > 0.0 and self._event.wait(timeout_s))
        return settled and self._acknowledged


class PendingTickets:
    """Tickets by packet identifier. Calls nothing of paho while it holds its lock: paho has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, Ticket] = {}
        self._early: dict[int, str | None] = {}
        self._closed: str | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def register(self, mid: int, ticket: Ticket) -> None:
        """Keep the ticket of a packet just handed to paho; its PUBACK may have come already."""
        with self._lock:
            if mid in self._early:
                error = self._early.pop(mid)
                ticket.resolve(error, refused=error is not None)
            elif self._closed is not None:
                ticket.resolve(self._closed)
            else:
                self._waiting[mid] = ticket

    def settle(self, mid: int, error: str | None) -> None:
        """Settle the ticket of ``mid``, whose PUBACK came."""
        with self._lock:
            ticket = self._waiting.pop(mid, None)
            if ticket is None:
                self._early[mid] = error
                return
        ticket.resolve(error, refused=error is not None)

    def close(self, reason: str) -> None:
        """The connection is gone: fail all tickets at once."""
        with self._lock:
            self._closed = reason
            waiting, self._waiting = list(self._waiting.values()), {}
        for ticket in waiting:
            ticket.resolve(reason)


class PublishQueue:
    """Packets of one connection: at most ``limit`` unacknowledged, and within the broker's limits.

    paho's own queue is unlimited, and paho takes no limits from CONNACK.
    """

    def __init__(self, client: mqtt.Client, limit: int, *, with_properties: bool) -> None:
        self.maximum_packet_size: int | None = None
        """The broker's limit in bytes, if it named one (MQTT 5)."""
        self._client = client
        self._limit = limit
        self._in_flight_limit = min(_DEFAULT_IN_FLIGHT, limit)
        self._with_properties = with_properties
        self._lock = threading.Lock()
        self._queue: deque[tuple[PublishPacket, Properties | None, Ticket]] = deque()
        self._tickets = PendingTickets()
        self._open = False

    def open(self, receive_maximum: int | None, maximum_packet_size: int | None) -> None:
        """The broker accepted the connection and named its limits (MQTT 5 section 3.2.2.3)."""
        with self._lock:
            if self._with_properties:
                self._in_flight_limit = min(receive_maximum or 65_535, self._limit)
            self.maximum_packet_size = maximum_packet_size
            self._open = True

    def put(self, message: PublishPacket) -> Ticket:
        """Hand over. Raises TransportError if not connected or too many are under way, UndeliverableError if
        the packet is too large for this broker."""
        properties = message.properties() if self._with_properties else None
        self._check_size(message, properties)
        ticket = Ticket()
        with self._lock:
            if not self._open:
                raise TransportError("there is no connection to the broker; the message stays in the outbox")
            if len(self._queue) + len(self._tickets) >= self._limit:
                raise TransportError(
                    f"{self._limit} messages wait for the broker's acknowledgement already; try again later"
                )
            self._queue.append((message, properties, ticket))
            self._send()
        return ticket

    def acknowledged(self, mid: int, error: str | None) -> None:
        """The PUBACK of packet ``mid`` came. Sends nothing: paho holds its own lock here."""
        self._tickets.settle(mid, error)

    def send(self) -> None:
        """Hand to paho what the broker's Receive Maximum allows by now."""
        if self._queue:
            with self._lock:
                self._send()

    def close(self, reason: str) -> None:
        """The connection is gone: every ticket fails at once."""
        with self._lock:
            self._open = False
            queued, self._queue = list(self._queue), deque()
        self._tickets.close(reason)
        for _message, _properties, ticket in queued:
            ticket.resolve(reason)

    def _send(self) -> None:
        while self._queue and len(self._tickets) < self._in_flight_limit:
            message, properties, ticket = self._queue.popleft()
            try:
                info = self._client.publish(
                    message.topic, message.payload, qos=1, retain=message.retain, properties=properties
                )
            except ValueError as error:
                text = f"the broker client refuses the message on {message.topic}: {error}"
                ticket.resolve(text, refused=True)
                continue
            if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:  # all 65,535 packet identifiers are taken
                self._queue.appendleft((message, properties, ticket))
                return
            self._tickets.register(info.mid, ticket)

    def _check_size(self, message: PublishPacket, properties: Properties | None) -> None:
        limit = self.maximum_packet_size
        if limit is None:
            return
        size = _FIXED_HEADER + 2 + len(message.topic.encode()) + 2 + len(message.payload)
        size += len(properties.pack()) if properties is not None else 0
        if size > limit:
            raise UndeliverableError(
                f"the message on {message.topic} has {size:,} bytes and the broker takes at most {limit:,}; "
                "raise its max_packet_size or send a smaller image or a reference to it"
            )
