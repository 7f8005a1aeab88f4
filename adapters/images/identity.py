"""``read_identity``: whose image a message holds, read so that even a bad frame has an identity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from agent.domain.frame import Delivery, FrameIdentity, content_digest, derived_frame_id
from agent.domain.names import MAX_NAME, MAX_NAME_BYTES, clean_name

MAX_SEQUENCE = 2**63 - 1
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Times that every database and every time zone can represent."""
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""A camera's clock before OLDEST, or more than AHEAD after the receipt, was never set."""

_EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which number on, since 1970, it counts nanoseconds, microseconds, milliseconds; below: seconds."""
_EPOCH = re.compile(r"[+-]?\d{9,20}(?:[.,]\d{1,12})?", re.ASCII)
_COMPACT = re.compile(r"((?:19|20)\d{6})(\d{6})(\d{0,6})", re.ASCII)
"""20261120100000, with or without a fraction of a second, as many cameras name their files."""
_OTHER_DATE = re.compile(r"(\d{4})[:/.](\d\d)[:/.](\d\d)", re.ASCII)
"""2026:11:20 as in EXIF, 2026/11/20."""


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


def read_identity(
    delivery: Delivery, fields: Mapping[str, Any], image: bytes = b"", zone: tzinfo = UTC
) -> Reading:
    """Read as much as possible. A wrong clock or sequence number fails no frame; a wrong id or SKU does, for
    it may name another part or product.

    Args:
        image: its bytes as sent, if they are at hand.
        zone: of times that name none.
    """
    complaints: list[str] = []
    oddities: dict[str, str] = {}

    def text(name: str) -> str | None:
        try:
            return _text(name, fields.get(name))
        except UnreadableError as error:
            complaints.append(str(error))
            return None

    frame_id = text("frame_id")
    sku = text("sku")
    part_id = text("part_id")
    identity = FrameIdentity(
        camera=delivery.camera,
        frame_id=frame_id if frame_id is not None else derived_frame_id(delivery.camera, delivery.payload),
        sku=sku,
        part_id=part_id,
        captured_at=_captured_at(fields.get("captured_at"), delivery.received_at, zone, oddities),
        content_derived=frame_id is None,
        sequence=_sequence(fields.get("sequence"), oddities),
        content=content_digest(image or delivery.payload),
    )
    return Reading(identity, complaints[0] if complaints else None, oddities)


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**MAX_NAME else "9" * (MAX_NAME + 1)
    if not isinstance(value, str):
        raise UnreadableError(f"{name} must be text or a whole number")
    try:
        value = clean_name(value)
    except ValueError as error:
        raise UnreadableError(f"{name} {error}") from None
    size = len(value.encode())
    if name != "sku" and size > MAX_NAME_BYTES:
        raise UnreadableError(f"{name} has {size} bytes in UTF-8, at most {MAX_NAME_BYTES} are allowed")
    return value or None


def _captured_at(
    value: object, received_at: datetime, zone: tzinfo, oddities: dict[str, str]
) -> datetime | None:
    """As the camera claims it, however implausible; None if no calendar knows it."""
    try:
        time = _time(value, zone, received_at)
        if time is not None and not FIRST <= time < LAST:
            raise ValueError("is not a time that a calendar knows")
    except ValueError as error:
        oddities["captured_at_unusable"] = f"its captured_at {error}"
        return None
    if time is not None and (time < OLDEST or time - received_at > AHEAD):
        oddities["captured_at_implausible"] = f"its clock reads {time.isoformat()}; set it"
    return time


def parse_time(text: str, zone: tzinfo = UTC, received_at: datetime | None = None) -> datetime:
    """A time as cameras write it, in UTC: RFC 3339, EXIF, 20261120100000, or a number since 1970 as text.

    Args:
        zone: of a time that names none.
        received_at: which of two equal hours is meant when clocks are set back: the nearer one.

    Raises ValueError.
    """
    if len(text) > 64:
        raise ValueError("this is not a time")
    written = text.strip()
    try:
        compact = _COMPACT.fullmatch(written)
        if compact is not None:
            day, second, fraction = compact.groups()
            written = f"{day}T{second}" + (f".{fraction}" if fraction else "")
        elif _EPOCH.fullmatch(written):
            return _since_1970(float(written.replace(",", ".")))
        time = datetime.fromisoformat(_OTHER_DATE.sub(r"\1-\2-\3", written, count=1))
        return _in_zone(time, zone, received_at) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        shown = text[:40]
        raise ValueError(f"{shown!r} is not a time; send RFC 3339, such as 2026-11-20T10:00:00Z") from None


def _in_zone(time: datetime, zone: tzinfo, received_at: datetime | None) -> datetime:
    both = [time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return both[0] if received_at is None else min(both, key=lambda one: abs(received_at - one))


def _since_1970(number: float) -> datetime:
    unit = next((unit for least, unit in _EPOCH_UNITS if abs(number) >= least), 1.0)
    return datetime.fromtimestamp(number / unit, UTC)


def _time(value: object, zone: tzinfo, received_at: datetime) -> datetime | None:
    """A time as text, or a number since 1970 as many cameras send. Raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return parse_time(value, zone, received_at)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a time; send RFC 3339, such as 2026-11-20T10:00:00Z")
    try:
        return _since_1970(value)
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
