"""``TolerantClient``: a paho client that no single message can cut off.

MQTT 5 allows characters that paho refuses (U+FEFF: section 1.5.4), and brokers pass on what they do not
check. paho then ends the connection, the broker delivers the message again, and no other message arrives.
This client decodes such a message once more, tolerantly. Its receiver may refuse and acknowledge it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_FIXED = {1: 1, 2: 4, 35: 2}
"""Properties of PUBLISH whose values have a fixed size: payload format, expiry, topic alias."""
_CONTENT_TYPE, _RESPONSE_TOPIC, _CORRELATION_DATA = 3, 8, 9
_SUBSCRIPTION_ID, _USER = 11, 38


class TolerantClient(mqtt.Client):
    """Calls ``on_mended`` for each message whose properties had to be decoded tolerantly."""

    on_mended: Callable[[str], None] | None = None
    _payload: bytes | None = None
    """Of the PUBLISH packet in hand, while it is not in the packet."""

    def _handle_publish(self) -> MQTTErrorCode:
        packet, qos = self._in_packet["packet"], (self._in_packet["command"] >> 1) & 0x03
        head = head_length(packet, qos, self._protocol == mqtt.MQTTv5)
        self._payload = None
        if head is not None and qos < 2:  # paho keeps one of QoS 2, which nobody subscribes to, for later
            # paho copies the rest of the packet several times for each property.
            self._payload = bytes(memoryview(packet)[head:])
            del packet[head:]
        try:
            return MQTTErrorCode(super()._handle_publish())
        except (MalformedPacket, UnicodeDecodeError) as error:
            reason = str(error)
        return self._deliver_tolerantly(reason)

    def _handle_on_message(self, message: mqtt.MQTTMessage) -> None:
        if self._payload is not None:
            message.payload, self._payload = self._payload, None
        super()._handle_on_message(message)

    def _deliver_tolerantly(self, reason: str) -> MQTTErrorCode:
        command, packet = self._in_packet["command"], bytes(self._in_packet["packet"])
        found = decode(packet, (command >> 1) & 0x03)
        if found is None:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        message = mqtt.MQTTMessage(mid=found.mid, topic=found.topic)
        message.dup, message.retain = bool(command & 0x08), bool(command & 0x01)
        message.qos = (command >> 1) & 0x03
        message.payload = found.payload
        message.properties = found.properties()
        if self.on_mended is not None:
            self.on_mended(reason)
        self._handle_on_message(message)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def head_length(packet: bytes | bytearray, qos: int, properties: bool) -> int | None:
    """Bytes before the payload of a PUBLISH packet after its fixed header; None if it ends before that."""
    reader = _Reader(packet)
    try:
        reader.skip(reader.number(2))
        reader.skip(2 if qos else 0)
        if properties:
            reader.skip(reader.variable())
    except _EndError:
        return None
    return reader.position


@dataclass(slots=True)
class Decoded:
    """A PUBLISH packet of MQTT 5 after its fixed header."""

    topic: bytes
    mid: int = 0
    payload: bytes = b""
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user: list[tuple[str, str]] = field(default_factory=list)

    def properties(self) -> Properties:
        """As paho represents them; texts may hold any character."""
        made = Properties(PacketTypes.PUBLISH)
        if self.content_type is not None:
            made.ContentType = self.content_type
        if self.response_topic is not None:
            made.ResponseTopic = self.response_topic
        if self.correlation_data is not None:
            made.CorrelationData = self.correlation_data
        if self.user:
            made.UserProperty = self.user
        return made


def decode(packet: bytes, qos: int) -> Decoded | None:
    """Topic, packet id, properties and payload; None if there is not even a topic.

    Bytes that are not UTF-8 become U+FFFD. Properties end at the first that cannot be read; the payload is
    whole in any case, as the length of the properties precedes them.
    """
    reader = _Reader(packet)
    try:
        found = Decoded(reader.binary())
        if qos:
            found.mid = reader.number(2)
        properties = _Reader(reader.take(reader.variable()))
    except _EndError:
        return None
    found.payload = reader.rest()
    try:
        while properties.rest():
            _read_property(properties, found)
    except _EndError:
        pass  # keep what could be read; the decoder reports a missing field
    return found


def _read_property(reader: _Reader, found: Decoded) -> None:
    kind = reader.variable()
    if kind in _FIXED:
        reader.take(_FIXED[kind])
    elif kind == _SUBSCRIPTION_ID:
        reader.variable()
    elif kind == _CONTENT_TYPE:
        found.content_type = reader.text()
    elif kind == _RESPONSE_TOPIC:
        found.response_topic = reader.text()
    elif kind == _CORRELATION_DATA:
        found.correlation_data = reader.binary()
    elif kind == _USER:
        found.user.append((reader.text(), reader.text()))
    else:
        raise _EndError


class _EndError(Exception):
    """The bytes end too early, or begin a property that MQTT does not know."""


class _Reader:
    def __init__(self, content: bytes | bytearray) -> None:
        self._content = content
        self._at = 0

    @property
    def position(self) -> int:
        return self._at

    def skip(self, length: int) -> None:
        if self._at + length > len(self._content):
            raise _EndError
        self._at += length

    def rest(self) -> bytes:
        return bytes(self._content[self._at :])

    def take(self, length: int) -> bytes:
        taken = bytes(self._content[self._at : self._at + length])
        if len(taken) < length:
            raise _EndError
        self._at += length
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def variable(self) -> int:
        """A variable byte integer (MQTT 5 section 1.5.5)."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise _EndError

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode("utf-8", "replace")
