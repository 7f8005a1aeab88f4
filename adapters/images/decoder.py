"""Payloads of frame topics to frames (agent.ports.FrameDecoder)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.images.header import HeaderError, media_type
from adapters.images.pixels import decode_pixels
from adapters.images.references import PictureReferenceError, ReferenceReader
from adapters.mqtt.payloads import IMAGE_KEYS, load_object, parse_time
from agent.errors import FrameError, MessageError
from agent.frame import MAX_SKU, Delivery, Frame, FrameIdentity

MAX_IDENTIFIER = 255
"""Longest frame id and part id in characters, as the columns of the history."""

_JSON_OVERHEAD = 64 * 1024
_WHITE = b" \t\r\n"
_EPOCH_LIMIT_S = 1e11


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What is decoded at most, and where references may lead."""

    max_bytes: int = 20_000_000
    max_pixels: int = 100_000_000
    allowed_roots: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    timeout_s: float = 5.0
    """For fetching a referenced picture."""


class _RefusedError(ValueError):
    """Why a delivery is no frame, before its identity is attached."""


class PayloadDecoder:
    """The three forms of a frame (DESIGN section 4): raw JPEG or PNG with MQTT 5 user properties, JSON
    with base64, JSON with a path or URL. Whatever comes, only FrameError is raised, and it always carries
    a frame id.
    """

    def __init__(self, limits: FrameLimits | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._local = threading.local()

    def identify(self, delivery: Delivery) -> FrameIdentity:
        """Whose frame this is, without decoding the picture; never raises."""
        try:
            _content, fields = self._open(delivery)
        except _RefusedError:
            fields = delivery.properties
        identity, _complaint = read_identity(delivery, fields)
        return identity

    def decode(self, delivery: Delivery) -> Frame:
        """Raises FrameError, carrying as much identity as could be read."""
        content, reason = b"", None
        fields: Mapping[str, Any] = delivery.properties
        try:
            content, fields = self._open(delivery)
        except _RefusedError as error:
            reason = str(error)
        identity, complaint = read_identity(delivery, fields)
        if reason is not None or complaint is not None:
            raise FrameError(reason or complaint or "", identity)
        try:
            content = content or self._image(fields)
            header, image = decode_pixels(self._bounded(content), self._limits.max_pixels)
        except (_RefusedError, HeaderError, PictureReferenceError) as error:
            raise FrameError(str(error), identity) from None
        return Frame(identity, image, content, header.media_type, delivery.received_at)

    def _open(self, delivery: Delivery) -> tuple[bytes, Mapping[str, Any]]:
        """The picture's bytes, empty where JSON holds them, and the fields that name it."""
        payload = delivery.payload
        if not payload:
            raise _RefusedError("the payload is empty")
        if media_type(payload) is not None:
            return payload, delivery.properties
        declared = (delivery.content_type or "").partition(";")[0].strip().lower()
        looks_json = payload[:64].lstrip(_WHITE).startswith(b"{")
        if looks_json or declared in ("application/json", "text/json"):
            limit = self._limits.max_bytes * 4 // 3 + _JSON_OVERHEAD
            if len(payload) > limit:
                raise _RefusedError(f"the message has {len(payload):,} bytes, at most {limit:,} are read")
            try:
                return b"", {**delivery.properties, **load_object(payload)}
            except MessageError as error:
                raise _RefusedError(str(error)) from None
        return payload, delivery.properties  # the header says in words what it is instead

    def _image(self, fields: Mapping[str, Any]) -> bytes:
        for key in IMAGE_KEYS:
            value = fields.get(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise _RefusedError(f"{key} must be a base64 string")
            return self._base64(key, value)
        reference = fields.get("image_ref")
        if reference is None:
            raise _RefusedError(
                "the message holds no picture; send image (base64) or image_ref (path or URL)"
            )
        if not isinstance(reference, str):
            raise _RefusedError("image_ref must be a path or URL")
        return self._references().read(reference)

    def _base64(self, key: str, text: str) -> bytes:
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            content = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise _RefusedError(f"{key} is no valid base64") from None
        if not content:
            raise _RefusedError(f"{key} is empty")
        return content

    def _bounded(self, content: bytes) -> bytes:
        if len(content) > self._limits.max_bytes:
            raise _RefusedError(
                f"the picture has {len(content):,} bytes, at most {self._limits.max_bytes:,} are decoded; "
                "compress it or raise frames.max_bytes"
            )
        return content

    def _references(self) -> ReferenceReader:
        """One for each thread: an HTTP client is no object to share."""
        reader: ReferenceReader | None = getattr(self._local, "reader", None)
        if reader is None:
            limits = self._limits
            reader = ReferenceReader(
                limits.max_bytes, limits.allowed_roots, limits.allowed_hosts, limits.timeout_s
            )
            self._local.reader = reader
        return reader


# ------------------------------------------------------------------------------------------ identity


def derived_id(delivery: Delivery) -> str:
    """``h-`` and the first 24 hexadecimal digits of sha256 over camera and payload."""
    digest = hashlib.sha256(str(delivery.camera).encode() + b"\0")
    digest.update(delivery.payload)
    return f"h-{digest.hexdigest()[:24]}"


def read_identity(delivery: Delivery, fields: Mapping[str, Any]) -> tuple[FrameIdentity, str | None]:
    """As much identity as can be read, and what is wrong with the rest: None where all is well."""
    complaints: list[str] = []

    def text(name: str, longest: int) -> str | None:
        try:
            return _text(name, fields.get(name), longest)
        except _RefusedError as error:
            complaints.append(str(error))
            return None

    frame_id = text("frame_id", MAX_IDENTIFIER)
    sku = text("sku", MAX_SKU)
    part_id = text("part_id", MAX_IDENTIFIER)
    captured_at = None
    try:
        captured_at = _time(fields.get("captured_at"))
    except ValueError as error:
        complaints.append(f"captured_at: {error}")
    identity = FrameIdentity(
        camera=delivery.camera,
        frame_id=frame_id if frame_id is not None else derived_id(delivery),
        sku=sku,
        part_id=part_id,
        captured_at=captured_at,
        content_derived=frame_id is None,
    )
    return identity, complaints[0] if complaints else None


def _text(name: str, value: object, longest: int) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**longest else "9" * (longest + 1)
    if not isinstance(value, str):
        raise _RefusedError(f"{name} must be text or a whole number")
    value = value.strip()
    if len(value) > longest:
        raise _RefusedError(f"{name} has {len(value)} characters, at most {longest} are allowed")
    if not value.isprintable():
        raise _RefusedError(f"{name} has characters that cannot be printed")
    return value or None


def _time(value: object) -> datetime | None:
    """RFC 3339, or seconds or milliseconds since 1970 as many cameras send. Raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a time in RFC 3339")
    try:
        seconds = value / 1000 if abs(value) >= _EPOCH_LIMIT_S else float(value)
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("is no time that a calendar knows") from None
