"""``read_identity``: whose image a message holds, read so that even a bad frame has an identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.domain.frame import (
    MAX_IDENTIFIER,
    MAX_IDENTIFIER_BYTES,
    MAX_SKU,
    Delivery,
    FrameIdentity,
    content_digest,
    derived_frame_id,
)

MAX_SEQUENCE = 2**63 - 1
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Times that every database and every time zone can represent."""
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""A camera's clock before OLDEST, or more than AHEAD after the receipt, was never set."""

_EPOCH_LIMIT_S = 1e11


@dataclass(frozen=True, slots=True)
class Reading:
    """An identity, and what was wrong with the fields that it was read from."""

    identity: FrameIdentity
    complaint: str | None = None
    """Why the frame cannot be judged under this identity; None if it can."""
    oddities: Mapping[str, str] = field(default_factory=dict)
    """What was ignored or is implausible, by the name of its counter; none of it fails a frame."""


class UnreadableError(ValueError):
    """A field of the wrong type, length or characters."""


def read_identity(delivery: Delivery, fields: Mapping[str, Any], image: bytes = b"") -> Reading:
    """Read as much as possible. A wrong clock or sequence number fails no frame; a wrong id or SKU does, for
    it may name another part or product. ``image``: its bytes as sent, if they are at hand."""
    complaints: list[str] = []
    oddities: dict[str, str] = {}

    def text(name: str, longest: int) -> str | None:
        try:
            return _text(name, fields.get(name), longest)
        except UnreadableError as error:
            complaints.append(str(error))
            return None

    frame_id = text("frame_id", MAX_IDENTIFIER)
    sku = text("sku", MAX_SKU)
    part_id = text("part_id", MAX_IDENTIFIER)
    identity = FrameIdentity(
        camera=delivery.camera,
        frame_id=frame_id if frame_id is not None else derived_frame_id(delivery.camera, delivery.payload),
        sku=sku,
        part_id=part_id,
        captured_at=_captured_at(fields.get("captured_at"), delivery.received_at, oddities),
        content_derived=frame_id is None,
        sequence=_sequence(fields.get("sequence"), oddities),
        content=content_digest(image or delivery.payload),
    )
    return Reading(identity, complaints[0] if complaints else None, oddities)


def _text(name: str, value: object, longest: int) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**longest else "9" * (longest + 1)
    if not isinstance(value, str):
        raise UnreadableError(f"{name} must be text or a whole number")
    value = value.strip()
    if len(value) > longest:
        raise UnreadableError(f"{name} has {len(value)} characters, at most {longest} are allowed")
    if not value.isprintable():
        raise UnreadableError(f"{name} has characters that cannot be printed")
    size = len(value.encode())
    if name != "sku" and size > MAX_IDENTIFIER_BYTES:
        raise UnreadableError(f"{name} has {size} bytes in UTF-8, at most {MAX_IDENTIFIER_BYTES} are allowed")
    return value or None


def _captured_at(value: object, received_at: datetime, oddities: dict[str, str]) -> datetime | None:
    """As the camera claims it, however implausible; None if no calendar knows it."""
    try:
        time = _time(value)
        if time is not None and not FIRST <= time < LAST:
            raise ValueError("is not a time that a calendar knows")
    except ValueError as error:
        oddities["captured_at_unusable"] = f"its captured_at {error}"
        return None
    if time is not None and (time < OLDEST or time - received_at > AHEAD):
        oddities["captured_at_implausible"] = f"its clock reads {time.isoformat()}; set it"
    return time


def parse_time(text: str) -> datetime:
    """A time in RFC 3339, taken as UTC if it names no zone. Raises ValueError."""
    if len(text) > 64:
        raise ValueError("this is not a time")
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        shown = text[:40]
        raise ValueError(f"{shown!r} is not a time; send RFC 3339, such as 2026-11-20T10:00:00Z") from None


def _time(value: object) -> datetime | None:
    """RFC 3339, or seconds or milliseconds since 1970 as many cameras send. Raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a time; send RFC 3339, such as 2026-11-20T10:00:00Z")
    try:
        seconds = value / 1000 if abs(value) >= _EPOCH_LIMIT_S else float(value)
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("is not a time that a calendar knows") from None


def _sequence(value: object, oddities: dict[str, str]) -> int | None:
    """The camera's sequence number; a user property carries it as text."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= 19 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQUENCE:
        return value
    oddities["sequence_unusable"] = "its sequence is not a whole number from 0 to 2^63 - 1"
    return None
