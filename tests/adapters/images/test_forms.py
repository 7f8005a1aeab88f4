"""The forms in which cameras, bridges and people send an image as text."""

from __future__ import annotations

import base64
import contextlib
import json
import textwrap
import time
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapters.images.decoder import FrameLimits
from adapters.images.forms import FormError, from_base64, image_of, read_form
from agent.domain.errors import MessageError
from tests.adapters.images.test_decoder import JPEG, decode, encode, refusal

B64 = base64.b64encode(JPEG).decode()
SAFE = base64.urlsafe_b64encode(JPEG).decode()
BARE = SAFE.rstrip("=")
WRAPPED = "\r\n".join(textwrap.wrap(B64, 76))
BUFFER = {"type": "Buffer", "data": list(JPEG)}


@pytest.mark.parametrize("key", ["image", "data", "img"])
@pytest.mark.parametrize(
    "value",
    [
        B64, SAFE, BARE, B64.rstrip("="), WRAPPED, f"\n{B64}\n",
        f"data:image/jpeg;base64,{B64}", f"DATA:image/jpeg;base64,{quote(B64, safe='')}",
        f"data:;base64,{BARE}",
        BUFFER, {"type": "buffer", "data": B64}, list(JPEG),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_field_holds_an_image_in_many_forms(key: str, value: Any) -> None:
    frame = decode(json.dumps({"sku": "cube", "frame_id": "f", key: value}).encode())
    assert (frame.encoded, frame.identity.sku, frame.identity.frame_id) == (JPEG, "cube", "f")


@pytest.mark.parametrize(
    "payload",
    [
        B64.encode(), BARE.encode(), WRAPPED.encode(), b"\xef\xbb\xbf" + B64.encode() + b"\r\n",
        b"\n " + SAFE.encode(),
        f"data:image/jpeg;base64,{B64}".encode(),
        json.dumps(B64).encode(), json.dumps(BUFFER).encode(), json.dumps(BUFFER, indent=1).encode(),
        json.dumps(list(JPEG)).encode(), json.dumps(list(JPEG), separators=(",", ":")).encode(),
        B64.encode("utf-16"), B64.encode() + b"\0", json.dumps(BUFFER).encode() + b"\0\0",
    ],
    ids=range(14),
)  # fmt: skip
@pytest.mark.parametrize("declared", [None, "text/plain", "application/json", "image/jpeg"])
def test_the_image_alone_as_text_is_named_by_properties(payload: bytes, declared: str | None) -> None:
    frame = decode(payload, content_type=declared, properties={"sku": "cube", "frame_id": "f"})
    assert (frame.encoded, frame.identity.sku, frame.identity.frame_id) == (JPEG, "cube", "f")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", [None, "application/json; charset=utf-16"])
def test_json_with_a_byte_order_mark_or_in_utf_16(encoding: str, declared: str | None) -> None:
    message = json.dumps({"image": B64, "sku": "Schäkel", "frame_id": "f"}, ensure_ascii=False)
    frame = decode(message.encode(encoding), content_type=declared)
    assert (frame.encoded, frame.identity.sku) == (JPEG, "Schäkel")


def test_a_text_may_end_as_texts_in_c_do() -> None:
    assert decode(json.dumps({"image": B64}).encode() + b"\0").encoded == JPEG


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (json.dumps({"image": [255, 216, 256] * 40}), "not of bytes"),
        (json.dumps({"image": [1.5]}), "not of bytes"),
        (json.dumps({"image": {"type": "Buffer"}}), "must be a base64"),
        (json.dumps({"image": {"type": "Buffer", "data": []}}), "is empty"),
        (json.dumps({"image": []}), "is empty"),
        (json.dumps({"image": "a"}), "not valid base64"),
        (json.dumps({"image": B64[:400] + "=" + B64[400:]}), "not valid base64"),
        (json.dumps({"image": list(JPEG[:300])}), "truncated"),
        (json.dumps([*JPEG, "x"]), "not of bytes"),
        (json.dumps([*JPEG * 40, "x"]), "more than 20,000 values"),
        ("[1, 2]", "not JPEG or PNG"),
        ("7", "not JPEG or PNG"),
        (base64.b64encode(b"GIF89a" + bytes(90)).decode(), "a GIF"),
        (B64[: len(B64) // 2], "truncated"),
    ],
    ids=range(14),
)  # fmt: skip
def test_forms_that_hold_no_image_give_the_reason(payload: str, word: str) -> None:
    assert word in refusal(payload.encode()).reason


def test_limits_hold_for_every_form() -> None:
    limits = FrameLimits(max_bytes=len(JPEG) - 1)
    for payload in (
        json.dumps(BUFFER).encode(), json.dumps({"image": list(JPEG)}, indent=2).encode(), B64.encode(),
        json.dumps({"image": B64}).encode("utf-16"),
    ):  # fmt: skip
        assert "at most" in refusal(payload, limits).reason
    small = FrameLimits(max_bytes=1_000)
    for payload in (b"A" * 10**6, b'{"image": "' + b"A" * 10**6, b"[" + b"1," * 10**6, b'"' + b"A" * 10**6):
        assert refusal(payload, small).reason
    exact = FrameLimits(max_bytes=len(JPEG))
    assert decode(json.dumps(BUFFER, indent=2).encode(), exact).encoded == JPEG


def test_a_list_of_millions_of_bytes_is_read_in_pieces() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (600, 800, 3), np.uint8)
    content = encode(Image.fromarray(noise), "PNG")
    payload = json.dumps({"type": "Buffer", "data": list(content)}).encode()
    started = time.process_time()
    assert read_form(payload, 20_000_000) == {"type": "Buffer", "data": base64.b64encode(content).decode()}
    assert time.process_time() - started < 2.0, "seconds for 1.4 million numbers"


def test_lists_inside_strings_stay_as_they_are() -> None:
    numbers = json.dumps(list(range(100)))
    value = {"note": f'say \\"{numbers}\\" [', "more": "\\", "image": list(JPEG), "other": numbers}
    found = read_form(json.dumps(value).encode(), 10**6)
    assert isinstance(found, dict)
    assert {key: found[key] for key in ("note", "more", "other")} == {
        key: value[key] for key in ("note", "more", "other")
    }
    assert image_of("image", found["image"]) == JPEG


@given(st.binary(min_size=1, max_size=300), st.booleans(), st.booleans())
def test_base64_of_either_alphabet_comes_back(content: bytes, safe: bool, padded: bool) -> None:
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(content).decode()
    assert from_base64(text if padded else text.rstrip("=")) == content


@given(st.lists(st.integers(-1, 256), min_size=40, max_size=200), st.sampled_from([None, 1]))
def test_a_list_is_bytes_or_refused(numbers: list[int], indent: int | None) -> None:
    found = read_form(json.dumps({"image": numbers}, indent=indent).encode(), 10**6)
    assert isinstance(found, dict)
    if all(0 <= one < 256 for one in numbers):
        assert image_of("image", found["image"]) == bytes(numbers)
    else:
        with pytest.raises(FormError, match="not of bytes"):
            image_of("image", found["image"])


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers(0, 255), min_size=30)
JSON = VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(st.text(max_size=5), VALUES, max_size=3)


@given(JSON, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_other_values_are_neither_lost_nor_changed(value: Any, encoding: str) -> None:
    payload = json.dumps({"x": value}, ensure_ascii=False).encode(encoding, "replace")
    found = read_form(payload, 10**6)
    assert isinstance(found, dict)
    assert _unpacked(found["x"]) == _unpacked(json.loads(payload.decode(encoding))["x"])


def _unpacked(value: Any) -> Any:
    """Lists of bytes as they are packed."""
    if isinstance(value, dict):
        return {key: _unpacked(one) for key, one in value.items()}
    if isinstance(value, list):
        packed = value and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
        if packed and len(json.dumps(value)) >= 66:
            return base64.b64encode(bytes(value)).decode()
        return [_unpacked(one) for one in value]
    return value


TEXTS = st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))


@given(st.binary(min_size=1, max_size=200) | TEXTS, st.booleans())
def test_any_bytes_are_read_or_refused(payload: bytes, declared: bool) -> None:
    with contextlib.suppress(FormError, MessageError):
        assert read_form(payload, 1000, declared_json=declared) is not None
