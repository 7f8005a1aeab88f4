"""What the cameras of a campaign publish: small images, the same ones for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

SITE, LINE, CAMERA = "factory", "line-1", "cam-1"
BASE = f"{SITE}/{LINE}/{CAMERA}"
FRAME_TOPIC = f"{BASE}/frame"
SKU = "chaos"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish with QoS 1."""

    key: str
    """Names the message in the ledger. Of a frame: the frame id that its row will have."""
    payload: bytes
    topic: str = FRAME_TOPIC
    properties: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None


def image(seed: int, size: int = 64) -> bytes:
    """A JPEG of ``size`` x ``size`` pixels, another one for every seed."""
    source = np.random.default_rng(seed)
    blocks = source.integers(0, 255, (size // 8, size // 8, 3), dtype=np.uint8)
    ok, data = cv2.imencode(".jpg", cv2.resize(blocks, (size, size), interpolation=cv2.INTER_LINEAR))
    if not ok:
        raise RuntimeError("OpenCV cannot write JPEG here")
    return data.tobytes()


def frame(frame_id: str, payload: bytes, *, sku: str = SKU) -> Message:
    """A raw image with its identity in MQTT 5 user properties."""
    return Message(
        frame_id,
        payload,
        properties=(("frame_id", frame_id), ("sku", sku)),
        content_type="image/jpeg",
    )


def nameless(payload: bytes, *, sku: str = SKU) -> Message:
    """A raw image without an id; its row has one that follows from camera and content."""
    digest = hashlib.sha256(BASE.encode() + b"\0" + payload).hexdigest()
    return Message(f"h-{digest[:24]}", payload, properties=(("sku", sku),), content_type="image/jpeg")


def frames(
    count: int, seed: int, *, size: int = 64, nameless_every: int = 0, repeat_every: int = 0
) -> Iterator[Message]:
    """``count`` frames.

    Args:
        nameless_every: each n-th carries no id. 0: none. Not where a camera may publish again: without
            an id the same image published twice is two parts.
        repeat_every: each n-th shows the very image of the first one, as a camera before an empty belt
            does. 0: none.
    """
    first = image(seed * 1_000_003, size)
    for index in range(count):
        repeated = repeat_every and index % repeat_every == repeat_every - 1
        shown = first if repeated else image(seed * 1_000_003 + index, size)
        if nameless_every and index % nameless_every == nameless_every - 1:
            yield nameless(shown)
        else:
            yield frame(f"s{seed}-{index:06d}", shown)
