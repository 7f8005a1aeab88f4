"""A message that the client library refuses: decoded as far as it goes, and the connection lives."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.mqtt.tolerant_client import Decoded, decode, head_length

allowed = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=40)
users = st.lists(st.tuples(allowed, allowed), max_size=5)


def packed(properties: Properties, *, topic: bytes = b"a/b", mid: int = 7, payload: bytes = b"") -> bytes:
    body = properties.pack()
    return struct.pack("!H", len(topic)) + topic + struct.pack("!H", mid) + body + payload


@given(users, allowed, allowed, st.binary(max_size=30), st.binary(max_size=50))
def test_what_the_library_takes_is_decoded_alike(
    user: list[tuple[str, str]], kind: str, answer: str, correlation: bytes, payload: bytes
) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 5
    properties.PayloadFormatIndicator = 1
    properties.ContentType, properties.ResponseTopic = kind, answer
    properties.CorrelationData = correlation
    if user:
        properties.UserProperty = user
    found = decode(packed(properties, payload=payload), 1)
    assert found == Decoded(b"a/b", 7, payload, kind, answer, correlation, user)
    given_back: Any = found.properties()
    assert getattr(given_back, "UserProperty", []) == user
    assert (given_back.ContentType, given_back.CorrelationData) == (kind, correlation)


@pytest.mark.parametrize(
    ("value", "read"), [("a\ufeffb".encode(), "a\ufeffb"), (b"a\0b", "a\0b"), (b"a\xffb", "a\ufffdb")]
)
def test_what_the_library_refuses_is_read(value: bytes, read: str) -> None:
    pair = b"\x26\x00\x03key" + struct.pack("!H", len(value)) + value
    packet = b"\x00\x01t\x00\x09" + bytes([len(pair)]) + pair + b"image"
    assert decode(packet, 1) == Decoded(b"t", 9, b"image", user=[("key", read)])


def test_properties_end_at_the_first_that_cannot_be_read() -> None:
    pairs = b"\x26\x00\x01a\x00\x01b" + b"\x63" + b"\x26\x00\x01c\x00\x01d"
    assert decode(b"\x00\x01t" + bytes([len(pairs)]) + pairs + b"p", 0) == Decoded(
        b"t", 0, b"p", user=[("a", "b")]
    )


@given(st.binary(max_size=60), st.integers(0, 1))
def test_any_bytes_end_in_a_message_or_in_none(packet: bytes, qos: int) -> None:
    found = decode(packet, qos)
    assert found is None or found.payload == b"" or packet.endswith(found.payload)


@given(users, st.binary(max_size=50), st.integers(0, 1), st.booleans())
def test_the_head_ends_where_the_payload_begins(
    user: list[tuple[str, str]], payload: bytes, qos: int, version_5: bool
) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    if user:
        properties.UserProperty = user
    head = b"\x00\x03a/b" + b"\x00\x07" * qos + (properties.pack() if version_5 else b"")
    assert head_length(bytearray(head + payload), qos, version_5) == len(head)
    assert all(head_length(head[:end], qos, version_5) is None for end in range(len(head)))
