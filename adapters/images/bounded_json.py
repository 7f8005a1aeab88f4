"""``load_object``: JSON of untrusted origin, within limits that are checked before it is parsed."""

from __future__ import annotations

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

_STRUCTURE = b'[]{},:"'
_NOTHING_ELSE = bytes(set(range(256)) - set(_STRUCTURE))


class _RefusedError(ValueError):
    """Why a text that may be JSON is not parsed."""


def load_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload, UTF-8 with or without a byte order mark.

    Refused are more than MAX_DEPTH levels, MAX_VALUES values or MAX_DIGITS of a number, numbers that are not
    finite, and a key that an object holds twice: readers differ in which of the two they take.
    Raises MessageError in one sentence, whatever the bytes are.
    """
    try:
        _check_shape(payload)
        found = json.loads(
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
    if not isinstance(found, dict):
        raise MessageError("the payload is JSON, but not an object")
    return found


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
