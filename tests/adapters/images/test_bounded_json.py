"""JSON from outside: what is read, and what is refused before it costs anything."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.images.bounded_json import MAX_DEPTH, MAX_VALUES, load_object
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.messages import JsonCommandParser
from agent.domain.errors import MessageError
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.ports.commands import CommandError

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def delivery(payload: bytes) -> Delivery:
    return Delivery(DeliveryKind.JOB, Camera("factory", "line-1", "top"), payload, NOW)


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=6), st.booleans(), st.sampled_from([None, 2]))
def test_what_json_writes_is_read_back(content: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(content, ensure_ascii=ascii_only, indent=indent)
    payload = text.encode("utf-8", "surrogatepass")
    try:
        assert load_object(payload) == json.loads(payload)
    except MessageError:
        with pytest.raises(UnicodeDecodeError):  # halves of surrogate pairs, which are not UTF-8
            payload.decode()


@given(
    st.binary(max_size=60)
    | st.text('{}[]",:\\u0 -e1\ud800', max_size=60).map(lambda one: one.encode("utf-8", "replace"))
)
def test_any_bytes_are_an_object_or_a_refusal(payload: bytes) -> None:
    try:
        found = load_object(payload)
    except MessageError:
        return
    assert found == json.loads(payload)


@given(st.text('"\\[{]}', max_size=40))
def test_brackets_within_strings_add_no_depth(text: str) -> None:
    assert load_object(json.dumps({"a": text * 40}).encode()) == {"a": text * 40}


def test_depth() -> None:
    assert load_object(nested(MAX_DEPTH))
    with pytest.raises(MessageError, match="deeper than 32 levels"):
        load_object(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"[" * 15_000, "deeper"),
        (b'{"a":' * 15_000, "deeper|values"),
        (b"{" * 5_000_000, "more than 20,000 values"),
        (b'{"a":[' + b"1," * 3_000_000 + b"1]}", "more than 20,000 values"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(MAX_VALUES + 1)) + b"}", "more than 20,000 values"),
        (b'"' * 5_000_000, "more than 20,000 values"),
        (b'{"a":' + b"9" * 5_000_000 + b"}", "a number has 5,000,000 digits"),
        (b'{"a":0.' + b"9" * 5_000 + b"}", "a number has 5,002 digits"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":[-1e400]}', "too large"),
        (b'{"a":NaN}', "NaN is not a number"),
        (b'{"a":-Infinity}', "Infinity is not a number"),
        (b'{"sku":"A","sku":"B"}', "the key 'sku' occurs twice"),
        (b'{"a":{"b":1,"c":2,"b":3}}', "the key 'b' occurs twice"),
        ('{"a": 1}'.encode("utf-16"), "not JSON"),
        (b'{"a":"\xed\xa0\x80"}', "not JSON"),
        (b'{"a":1}{"b":2}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"", "not JSON"),
        (b"7", "not an object"),
    ],
    ids=range(20),
)
def test_refusals(payload: bytes, word: str) -> None:
    with pytest.raises(MessageError, match=word) as caught:
        load_object(payload)
    assert len(str(caught.value)) < 200


def test_long_strings_and_a_byte_order_mark_are_fine() -> None:
    image = "A" * 5_000_000
    assert load_object(json.dumps({"image": image, "note": '\\/"[{' * 9}).encode()) == {
        "image": image,
        "note": '\\/"[{' * 9,
    }
    assert load_object(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    assert math.isclose(load_object(b'{"a":1e308}')["a"], 1e308)


@pytest.mark.parametrize("version", ["NaN", "1e3", "1.0", "9" * 30, "true", '"1"', "0", "-1", str(2**31)])
def test_no_command_takes_a_number_that_is_not_one(version: str) -> None:
    payload = b'{"command":"recipe.activate","sku":"M8","version":%s}' % version.encode()
    with pytest.raises(CommandError):
        JsonCommandParser().command(delivery(payload))


def test_a_command_with_a_key_twice_is_refused() -> None:
    payload = b'{"command":"recipe.import","recipe":"x","activate":false,"activate":true}'
    with pytest.raises(CommandError, match="twice"):
        JsonCommandParser().command(delivery(payload))


@pytest.mark.parametrize(
    "sign", ["\\u0000", "\\ud800", "\\u202e", "\\u2066", "\\u0007", "\\u009b", "\\uffff"]
)
def test_ids_and_skus_are_printable(sign: str) -> None:
    parser = JsonMessageParser()
    with pytest.raises(MessageError):
        parser.job(delivery(f'{{"sku":"M8{sign}x"}}'.encode()))
    with pytest.raises(MessageError):
        parser.feedback(delivery(f'{{"truth":"good","frame_id":"f{sign}x"}}'.encode()))
