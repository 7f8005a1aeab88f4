"""``read_form`` and ``image_of``: an image that came as text: base64, data URL, JSON, list of bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from adapters.images.bounded_json import WHITE, as_utf8, load_value
from adapters.images.header import media_type

_OVERHEAD = 64 * 1024
"""Bytes of a message beside its image."""
_MOST_A_BYTE = 6
"""Characters of one byte in a list: ``255``, a comma, a line break or two spaces."""

_JSON = re.compile(rb"[ \t\r\n]*[{\[\"]")
_TEXT = re.compile(rb"[ \t\r\n]*(?:data:[^,]{0,200},)?[A-Za-z0-9+/_%=\-][A-Za-z0-9+/_%=\s-]*", re.IGNORECASE)
"""Base64 of either alphabet, or a data URL of it."""
_BYTES = re.compile(rb"\[[\d,\s]{64,}\]")
"""A list of numbers that may be an image. No longest: it is read in pieces."""
_PIECE = 64 * 1024
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class FormError(ValueError):
    """A message in whose form no image can be found, or only too large a one."""


def read_form(payload: bytes, max_bytes: int, *, declared_json: bool = False) -> bytes | dict[str, Any]:
    """A JSON object, or the bytes of the image that a text holds; the payload itself if it is neither.

    Args:
        payload: not empty, and neither JPEG nor PNG as it is.
        max_bytes: of an image; messages that must hold more are refused before they are read.
        declared_json: the message says that it is JSON.

    Raises FormError, MessageError.
    """
    # Two bytes a character where it is UTF-16; a list of bytes takes more and is bounded once more below.
    limit = max_bytes * 3 // 2 + _OVERHEAD
    most = max(2 * limit, max_bytes * _MOST_A_BYTE + _OVERHEAD)
    if len(payload) > most:
        if declared_json or _JSON.match(payload):
            raise FormError(_too_long(payload, most))
        return payload
    text = as_utf8(payload)
    if _JSON.match(text):
        return _from_json(text, max_bytes, limit)
    content = _from_plain_text(text, limit)
    if content:
        return content
    return _from_json(text, max_bytes, limit) if declared_json else payload


def image_of(key: str, value: object) -> bytes:
    """The bytes of an image that a field holds: base64, a data URL, a Buffer of Node.js, a list of bytes.

    Raises FormError.
    """
    if isinstance(value, dict):
        value = value.get("data")  # {"type": "Buffer", "data": [255, 216, ...]}
    if isinstance(value, list):
        try:
            content = bytes(value)
        except (TypeError, ValueError):
            raise FormError(f"{key} is a list, but not of bytes from 0 to 255") from None
    elif isinstance(value, str):
        try:
            content = from_base64(value)
        except ValueError:
            raise FormError(f"{key} is not valid base64") from None
    else:
        raise FormError(f"{key} must be a base64 string, a data URL or a Buffer of bytes")
    if not content:
        raise FormError(f"{key} is empty")
    return content


def from_base64(text: str) -> bytes:
    """Base64 of either alphabet, with or without padding, line breaks, and ``data:...,`` before it.

    Raises ValueError.
    """
    if text[:64].lstrip()[:5].lower() == "data:":
        text = unquote(text.partition(",")[2])
    data = text.encode("ascii").translate(_URL_SAFE, WHITE).rstrip(b"=")
    return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)


def _from_json(text: bytes, max_bytes: int, limit: int) -> bytes | dict[str, Any]:
    text = _pack_lists(text, max_bytes)
    if len(text) > limit:
        raise FormError(_too_long(text, limit))
    value = load_value(text)
    return value if isinstance(value, dict) else image_of("the payload", value)


def _from_plain_text(text: bytes, limit: int) -> bytes:
    """Empty if it is not base64, or too short to tell."""
    if not (_TEXT.fullmatch(text, 0, 512) and _TEXT.fullmatch(text)):  # a look at the beginning first
        return b""
    if len(text) > limit:
        raise FormError(_too_long(text, limit))
    try:
        content = from_base64(text.decode("ascii"))
    except (binascii.Error, ValueError):
        return b""
    return content if media_type(content) is not None or len(content) > 64 else b""


def _too_long(payload: bytes, limit: int) -> str:
    return f"the message has {len(payload):,} bytes, at most {limit:,} are read"


def _pack_lists(text: bytes, max_bytes: int) -> bytes:
    """JSON with each long list of bytes as a base64 string: a list of millions would not fit any limit.

    Lists inside strings, and those that are not of bytes, stay as they are.
    """
    pieces, end, quotes = [], 0, 0
    for found in _BYTES.finditer(text):
        quotes += _quotes(text[end : found.start()])
        pieces.append(text[end : found.start()])
        end = found.end()
        content = b"" if quotes % 2 else _bytes_of(found.group()[1:-1], max_bytes)
        pieces.append(b'"' + base64.b64encode(content) + b'"' if content else found.group())
    return b"".join((*pieces, text[end:])) if pieces else text


def _quotes(text: bytes) -> int:
    """How many quotes begin or end a string."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.count(b'"')


def _bytes_of(numbers: bytes, max_bytes: int) -> bytes:
    """The bytes that a list holds; empty if it holds anything else. Raises FormError: too many."""
    count = numbers.count(b",") + 1
    if count > max_bytes:
        raise FormError(
            f"a list of {count:,} numbers is too long for an image of at most {max_bytes:,} bytes"
        )
    try:
        return b"".join(bytes(json.loads(b"[" + piece + b"]")) for piece in _pieces(numbers))
    except ValueError:
        return b""


def _pieces(numbers: bytes) -> Iterator[bytes]:
    """Cut at commas: a list of Python takes eight bytes for each number."""
    start = 0
    while True:
        cut = numbers.find(b",", start + _PIECE)
        if cut < 0:
            yield numbers[start:]
            return
        yield numbers[start:cut]
        start = cut + 1
