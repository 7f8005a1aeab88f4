"""``Duration``, ``ByteCount``, ``PixelCount``: ``7d 12h``, ``20MB``, ``100MP``, parsed exactly."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

MILLISECONDS = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "min": 60_000,
    "s": 1_000,
    "ms": 1,
}
BYTES = {
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "TiB": 2**40,
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "B": 1,
}
PIXELS = {"GP": 10**9, "MP": 10**6, "kP": 10**3, "P": 1}
LONGEST_MS = 36_525 * MILLISECONDS["d"]
"""A century; anything longer is a slip of the keyboard."""

_NUMBER = r"\d{1,18}(?:\.\d{1,9})?"
_TERM = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)\s*")
_QUANTITY = re.compile(rf"({_NUMBER})\s*([A-Za-z]*)")


def parse_duration(text: str) -> timedelta:
    """``"7d"``, ``"1h 30m"``, ``"250ms"``, ``"1.5h"`` or ``"0"``, to whole milliseconds.

    Raises ValueError with a sentence if it is none of these.
    """
    stripped = text.strip()
    if stripped == "0":
        return timedelta(0)
    total, position = Decimal(0), 0
    while position < len(stripped):
        term = _TERM.match(stripped, position)
        if term is None or term.group(2).lower() not in MILLISECONDS:
            raise ValueError("should be a duration with units, such as 7d, 1h 30m, 45s or 250ms")
        total += Decimal(term.group(1)) * MILLISECONDS[term.group(2).lower()]
        position = term.end()
    if not stripped:
        raise ValueError("should be a duration with units, such as 7d, 1h 30m, 45s or 250ms")
    if total != int(total):
        raise ValueError("is finer than a millisecond")
    if total > LONGEST_MS:
        raise ValueError("is longer than a hundred years")
    return timedelta(milliseconds=int(total))


def format_duration(duration: timedelta) -> str:
    """The shortest text that :func:`parse_duration` reads as the same duration."""
    rest = duration // timedelta(milliseconds=1)
    terms = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, MILLISECONDS[unit])
        if count:
            terms.append(f"{count}{unit}")
    return " ".join(terms) or "0"


def _parse_quantity(text: str, units: dict[str, int], example: str) -> int:
    match = _QUANTITY.fullmatch(text.strip())
    factors = {name.lower(): factor for name, factor in units.items()} | {"": 1}
    if match is None or match.group(2).lower() not in factors:
        raise ValueError(f"should be a whole number with a unit, such as {example}")
    amount = Decimal(match.group(1)) * factors[match.group(2).lower()]
    if amount != int(amount):
        raise ValueError("is not a whole number")
    return int(amount)


def _format_quantity(amount: int, units: dict[str, int]) -> str:
    for name, factor in units.items():
        if amount and amount % factor == 0:
            return f"{amount // factor}{name}"
    return str(amount)


def parse_bytes(text: str) -> int:
    """``"20MB"`` (10^6), ``"16 MiB"`` (2^20), ``"1500"``. Raises ValueError with a sentence."""
    return _parse_quantity(text, BYTES, "20MB or 16MiB")


def format_bytes(amount: int) -> str:
    """The largest unit that divides ``amount``, decimal units first; reads back as the same number."""
    return _format_quantity(amount, BYTES)


def parse_pixels(text: str) -> int:
    """``"100MP"`` (10^6 pixels), ``"640000"``. Raises ValueError with a sentence."""
    return _parse_quantity(text, PIXELS, "100MP")


def format_pixels(amount: int) -> str:
    """The largest unit that divides ``amount``; reads back as the same number."""
    return _format_quantity(amount, PIXELS)


def _read_duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return timedelta(0)
    raise ValueError("should be a duration with units, such as 7d, 1h 30m, 45s or 250ms")


def _read_bytes(value: Any) -> Any:
    return parse_bytes(value) if isinstance(value, str) else value


def _read_pixels(value: Any) -> Any:
    return parse_pixels(value) if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["7d", "1h 30m", "45s", "250ms", 0]}),
]
ByteCount = Annotated[
    int,
    BeforeValidator(_read_bytes),
    PlainSerializer(format_bytes, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["20MB", "16MiB"]}),
]
PixelCount = Annotated[
    int,
    BeforeValidator(_read_pixels),
    PlainSerializer(format_pixels, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["100MP"]}),
]
