"""``PayloadDecoder``: payloads of frame topics to frames, behind :class:`agent.ports.FrameDecoder`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from adapters.images.camera_depths import CameraDepths
from adapters.images.depth import DEEP, UNKNOWN, with_stated_bits
from adapters.images.forms import FormError, image_of, read_form
from adapters.images.header import Header, HeaderError, media_type
from adapters.images.identity import Reading, read_identity
from adapters.images.image_ref import ImageReferenceError, ReferenceReader
from adapters.images.pixels import InProcessReader, PixelReader
from agent.domain.errors import FrameError, MessageError
from agent.domain.frame import Camera, Delivery, Frame, FrameIdentity, content_digest
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

IMAGE_KEYS = ("image", "image_base64", "img", "data", "frame")
"""Names under which cameras send an image, the contract's own first."""

_MAX_LOGGED = 1_000
"""Pairs of camera and oddity that are logged, once each; all are counted."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """The limits of a frame, and which references are followed."""

    max_bytes: int = 20_000_000
    max_pixels: int = 100_000_000
    allowed_roots: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    timeout_s: float = 5.0
    """For fetching a referenced image."""
    zones: Mapping[str, tzinfo] = field(default_factory=dict)
    """Of times that name none, by ``LINE/CAMERA``; UTC for all others."""


class _RefusedError(ValueError):
    """Why a delivery is not a frame, before its identity is attached."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A frame's message, read as far as it goes."""

    image: bytes
    """As it was sent; empty if the message refers to it, or is refused."""
    fields: Mapping[str, Any]
    refusal: str | None = None


class PayloadDecoder:
    """Decodes the forms of a frame (docs/messages.md): raw JPEG or PNG with MQTT 5 user properties, the
    same as text (``forms.py``), JSON with an image, JSON with a path or URL. Whatever the payload is, only
    FrameError is raised, and it always carries a frame id.
    """

    def __init__(
        self,
        limits: FrameLimits | None = None,
        pixels: PixelReader | None = None,
        counters: Counters | None = None,
        depths: CameraDepths | None = None,
    ) -> None:
        """``pixels`` decodes images, by default in this process; ``depths`` knows the bits of each camera's
        values. Raises ValueError for limits that cannot be kept."""
        self._limits = limits = limits or FrameLimits()
        self._pixels = pixels or InProcessReader(limits.max_pixels)
        self._counters = counters if counters is not None else Counters()
        self.depths = depths or CameraDepths(counters=self._counters)
        self._references = ReferenceReader(
            limits.max_bytes, limits.allowed_roots, limits.allowed_hosts, limits.timeout_s
        )
        self._logged: set[tuple[Camera, str]] = set()

    def identify(self, delivery: Delivery) -> FrameIdentity:
        """Whose frame this is, without decoding the image; never raises."""
        return self._read_identity(delivery, self._read(delivery)).identity

    def decode(self, delivery: Delivery) -> Frame:
        """Raises FrameError, carrying as much identity as could be read."""
        message = self._read(delivery)
        reading = self._read_identity(delivery, message)
        identity, reason = reading.identity, message.refusal or reading.complaint
        self._note(delivery.camera, reading.oddities)
        if reason is not None:
            raise FrameError(reason, identity)
        try:
            content = message.image or self._referenced(message.fields)
            if not message.image:
                identity = replace(identity, content=content_digest(content))
            header, image = self._pixels(self._bounded(content), self.depths.known(delivery.camera))
        except (_RefusedError, HeaderError, ImageReferenceError) as error:
            raise FrameError(str(error), identity) from None
        self.depths.note(delivery.camera, header)
        self.depths.note_levels(identity, header, image)
        return Frame(identity, image, _explicit(content, header), header.media_type, delivery.received_at)

    def expect(self, delivery: Delivery) -> None:
        """Which delivery comes after the next one; an image in a message of text is not looked for."""
        payload = delivery.payload
        if len(payload) <= self._limits.max_bytes and media_type(payload) is not None:
            self._pixels.expect(payload)

    def measure(self, delivery: Delivery) -> None:
        """Find the bits of a camera's values before its images are decoded; what is unreadable has none."""
        try:
            content = self._bounded(self._open(delivery)[0])
            header, _ = self._pixels(content, self.depths.known(delivery.camera))
        except (_RefusedError, HeaderError):
            return
        self.depths.expect(delivery.camera, header.highest)

    def _read_identity(self, delivery: Delivery, message: _Message) -> Reading:
        camera = delivery.camera
        zone = self._limits.zones.get(f"{camera.line}/{camera.camera}", UTC)
        return read_identity(delivery, message.fields, message.image, zone)

    def _read(self, delivery: Delivery) -> _Message:
        fields: Mapping[str, Any] = delivery.properties
        try:
            image, fields = self._open(delivery)
            return _Message(image or self._inline(fields), fields)
        except (_RefusedError, FormError) as error:
            return _Message(b"", fields, str(error))

    def _open(self, delivery: Delivery) -> tuple[bytes, Mapping[str, Any]]:
        """The image's bytes, empty if JSON holds them, and the fields that name it."""
        payload = delivery.payload
        if not payload:
            raise _RefusedError("the payload is empty")
        if media_type(payload) is not None:
            return payload, delivery.properties
        declared = (delivery.content_type or "").partition(";")[0].strip().lower()
        is_json = declared in ("application/json", "text/json")
        try:
            found = read_form(payload, self._limits.max_bytes, declared_json=is_json)
        except (FormError, MessageError) as error:
            raise _RefusedError(str(error)) from None
        if isinstance(found, dict):
            return b"", {**delivery.properties, **found}
        return found, delivery.properties  # if it is no image, read_header names what it is instead

    def _inline(self, fields: Mapping[str, Any]) -> bytes:
        """The image that stands in the fields; empty if there is none."""
        for key in IMAGE_KEYS:
            value = fields.get(key)
            if value is not None:
                return image_of(key, value)
        return b""

    def _referenced(self, fields: Mapping[str, Any]) -> bytes:
        reference = fields.get("image_ref")
        if reference is None:
            raise _RefusedError("the message holds no image; send image (base64) or image_ref (path or URL)")
        if not isinstance(reference, str):
            raise _RefusedError("image_ref must be a path or URL")
        return self._references.read(reference)

    def _bounded(self, content: bytes) -> bytes:
        if len(content) > self._limits.max_bytes:
            raise _RefusedError(
                f"the image has {len(content):,} bytes, at most {self._limits.max_bytes:,} are decoded; "
                "compress it or raise frames.max_bytes"
            )
        return content

    def _note(self, camera: Camera, oddities: Mapping[str, str]) -> None:
        """Count what was ignored; log it once for each camera."""
        for name, sentence in oddities.items():
            self._counters.add(name)
            if (camera, name) not in self._logged and len(self._logged) < _MAX_LOGGED:
                self._logged.add((camera, name))
                logger.warning(
                    "%s: %s; its frames are judged all the same", camera, sentence, extra=about(camera)
                )


def _explicit(content: bytes, header: Header) -> bytes:
    """The file as it came; if it alone would be read with other bits, it states those that were read.

    What is kept is read again without its camera: references, judged frames, files that people open.
    """
    if header.depth < DEEP or header.bits == UNKNOWN.bits(header.highest, header.stated):
        return content
    return with_stated_bits(content, header.bits)
