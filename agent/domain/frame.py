"""Frame, Delivery and Job: what a camera sends, where it comes from, and what its line produces."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.domain.names import MAX_NAME, MAX_NAME_BYTES

Image = NDArray[np.uint8]
"""An RGB image, shape (H, W, 3), 8 bits a channel."""

MAX_SKU = MAX_NAME
"""Longest SKU in characters: a limit of Sightline's own, which the database is made for."""

SUFFIX_OF = {"image/jpeg": ".jpg", "image/png": ".png"}
"""The suffix of a file by its media type: what cameras send and the media folder keeps."""

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp")
MEDIA_TYPE_OF = {**dict.fromkeys(_JPEG_SUFFIXES, "image/jpeg"), ".png": "image/png"}
"""The media type of a file by its suffix in lower case."""

_NOBODYS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)
"""Folders that archives, network storage and file systems make, with copies and thumbnails in them."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is not a person's: hidden, or made by a system."""
    return name.startswith(".") or name.lower() in _NOBODYS


@dataclass(frozen=True, slots=True, order=True)
class Camera:
    """One camera of one line of one site, the levels of its topics."""

    site: str
    line: str
    camera: str

    def __str__(self) -> str:
        return f"{self.site}/{self.line}/{self.camera}"


class DeliveryKind(StrEnum):
    """What a subscribed topic carries."""

    FRAME = "frame"
    JOB = "sku"
    REFERENCE = "reference"
    FEEDBACK = "feedback"
    COMMAND = "command"


def _nothing() -> None:
    """The acknowledgement of a delivery that needs none (QoS 0, files)."""


def _never() -> bool:
    """Whether it will be delivered again: no."""
    return False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came in, its topic understood and its payload untouched."""

    kind: DeliveryKind
    camera: Camera
    payload: bytes
    received_at: datetime
    properties: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    redelivered: bool = False
    """The DUP flag of MQTT: the same message may have been delivered before."""
    retained: bool = False
    guaranteed: bool = False
    """QoS 1: the broker keeps the message until it is acknowledged, and those behind it wait."""
    acknowledge: Callable[[], None] = _nothing
    """Lets the broker forget the message. Idempotent, callable from any thread."""
    stale: Callable[[], bool] = _never
    """Whether its connection is gone. Then an acknowledgement has no effect, and the broker delivers the
    message again. Callable from any thread."""
    arrived: float = field(default_factory=time.monotonic, compare=False)
    """When it came, on the monotonic clock. Waiting times are measured from here, because the wall clock may
    be set. ``received_at`` is for people."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the production line of a camera is producing now (the retained ``sku`` topic)."""

    sku: str
    name: str | None = None
    description: str | None = None
    gtin: str | None = None
    lot: str | None = None

    def __post_init__(self) -> None:
        if not self.sku or len(self.sku) > MAX_SKU:
            raise ValueError(f"a SKU has 1 to {MAX_SKU} characters, this one has {len(self.sku)}")


MAX_IDENTIFIER, MAX_IDENTIFIER_BYTES = MAX_NAME, MAX_NAME_BYTES
"""Longest frame id and part id in characters and in UTF-8, as the columns of the history."""

_OWN_ID_DIGITS = 12


def content_digest(content: bytes) -> str:
    """sha256 in hexadecimal digits of an image as it was sent, or of the message if no image is at hand."""
    return hashlib.sha256(content).hexdigest()


def derived_frame_id(camera: Camera, payload: bytes) -> str:
    """The id of a frame that names none: equal bytes of one camera have one id.

    ``h-`` and the first 24 hexadecimal digits of sha256 over camera and payload.
    """
    digest = hashlib.sha256(str(camera).encode() + b"\0")
    digest.update(payload)
    return f"h-{digest.hexdigest()[:24]}"


@dataclass(frozen=True, slots=True)
class FrameIdentity:
    """Which frame an image belongs to. ``(camera, frame_id)`` is unique in the history."""

    camera: Camera
    frame_id: str
    sku: str | None = None
    """None if the message names none: the camera's current job decides."""
    part_id: str | None = None
    captured_at: datetime | None = None
    content_derived: bool = False
    """True if the frame named no id. ``frame_id`` was derived from its bytes, so equal images share it."""
    sequence: int | None = None
    """The camera's own running number, if it sends one."""
    content: str | None = None
    """:func:`content_digest` of the frame; None if it is not known, as in rows of versions before 0.2."""
    sent_id: str | None = None
    """The frame id as the camera sent it, if another image of the camera already has it."""

    def with_own_id(self, mark: str | None = None) -> FrameIdentity:
        """The same frame under an id of its own, for an id that another image has.

        It is the sent id, ``-`` and ``mark``: by default the first 12 digits of ``content``. So a frame that
        is delivered again gets the same id and still has one row. Raises ValueError if ``content`` is None.
        """
        if self.content is None:
            raise ValueError(f"frame {self.frame_id!r} has no content that could tell it from another")
        sent, suffix = self.sent_id or self.frame_id, f"-{mark or self.content[:_OWN_ID_DIGITS]}"
        base = sent[: MAX_IDENTIFIER - len(suffix)]
        while len(base.encode()) > MAX_IDENTIFIER_BYTES - len(suffix):
            base = base[:-1]
        return replace(self, frame_id=base + suffix, sent_id=sent)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded image with its identity and the bytes that it came as."""

    identity: FrameIdentity
    image: Image
    encoded: bytes
    media_type: str
    received_at: datetime

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"a frame is (H, W, 3) uint8 RGB, not {self.image.shape} {self.image.dtype}")

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])
