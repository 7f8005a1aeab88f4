"""``load_object`` and ``load_value``: JSON of untrusted origin, within limits checked before it is parsed."""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

from agent.domain.errors import MessageError

MAX_DEPTH = 32
"""Nested objects and lists; no message of the agent needs five."""
MAX_VALUES = 20_000
"""Values, keys and strings in one message, commas and colons counted."""
MAX_DIGITS = 400
"""Characters of one number; the longest float written out has 309 digits."""

WHITE = b" \t\r\n"
"""White space of JSON."""

_STRUCTURE = b'[]{},:"'
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF16 |= {bytes((sign, 0)): "utf-16-le" for sign in b'{["'}
_UTF16 |= {bytes((0, sign)): "utf-16-be" for sign in b'{["'}
_NOTHING_ELSE = bytes(set(range(256)) - set(_STRUCTURE))


class _RefusedError(ValueError):
    """Why a text that may be JSON is not parsed."""


def load_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload, UTF-8 with or without a byte order mark; :func:`as_utf8` makes it so.

    Raises MessageError in one sentence, whatever the bytes are.
    """
    found = load_value(payload)
    if not isinstance(found, dict):
        raise MessageError("the payload is JSON, but not an object")
    return found


def load_value(payload: bytes) -> Any:
    """Any JSON value, as :func:`load_object` reads it.

    Refused are more than MAX_DEPTH levels, MAX_VALUES values or MAX_DIGITS of a number, numbers that are not
    finite, and a key that an object holds twice: readers differ in which of the two they take.
    Raises MessageError.
    """
    try:
        _check_shape(payload)
        return json.loads(
            payload.decode("utf-8-sig"),
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except _RefusedError as error:
        raise MessageError(f"the payload is not JSON that the agent reads: {error}") from None
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise MessageError("the payload is not JSON") from None


def as_utf8(payload: bytes) -> bytes:
    """Text as UTF-8, without a byte order mark and without the zero bytes that end texts in C.

    UTF-16 is known by its mark, or by how JSON begins in it. Other bytes stay as they are.
    """
    if payload.startswith(codecs.BOM_UTF8):
        payload = payload[len(codecs.BOM_UTF8) :]
    encoding = next((name for begins, name in _UTF16.items() if payload.startswith(begins)), None)
    if encoding is None:
        return payload.rstrip(b"\0")
    try:
        return payload.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeDecodeError:
        return payload


def _check_shape(payload: bytes) -> None:
    """Check depth and number of values at the speed of memory, an image in base64 included.

    Quotes alone separate strings from structure. That is exact up to the first error of the JSON, where the
    parser stops; nothing reads beyond it.
    """
    if b"\\" in payload:
        payload = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
    if payload.count(b'"') > 2 * MAX_VALUES:
        raise _RefusedError(f"it holds more than {MAX_VALUES:,} values")
    structure = b"".join(payload.split(b'"')[::2]).translate(None, _NOTHING_ELSE)
    if len(structure) > 2 * MAX_VALUES:
        raise _RefusedError(f"it holds more than {MAX_VALUES:,} values")
    depth = 0
    for sign in structure:
        if sign in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _RefusedError(f"it is nested deeper than {MAX_DEPTH} levels")
        elif sign in b"]}":
            depth -= 1


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _RefusedError(f"a number has {len(text):,} digits")
    return int(text)


def _finite(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise _RefusedError(f"a number has {len(text):,} digits")
    number = float(text)
    if not math.isfinite(number):
        raise _RefusedError("a number is too large")
    return number


def _refuse_constant(text: str) -> float:
    raise _RefusedError(f"{text} is not a number in JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RefusedError(f"the key {key[:40]!r} occurs twice")
        found[key] = value
    return found
