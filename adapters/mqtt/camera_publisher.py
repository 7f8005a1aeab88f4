"""``CameraPublisher``: publishes images as a camera does, for trials, the demonstration and tests."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from adapters.messages.outgoing import rfc3339
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.publish_queue import PublishPacket, Ticket
from adapters.mqtt.session import Session
from adapters.mqtt.topics import Topics
from agent.domain.errors import TransportError
from agent.domain.frame import Camera
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

Form = Literal["raw", "json", "ref"]
FORMS: tuple[Form, ...] = ("raw", "json", "ref")

_ACK_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One image to publish."""

    encoded: bytes
    media_type: str = "image/jpeg"
    sku: str | None = None
    """None: the job that the camera announced applies."""
    part_id: str | None = None
    frame_id: str | None = None
    captured_at: datetime | None = None
    """None: the time of publishing."""
    reference: str | None = None
    """Path or URL for the form ``ref``; ``encoded`` is not sent then."""
    sequence: int | None = None
    """The camera's sequence number, by which the agent notices lost frames; None: it sends none."""


@dataclass(frozen=True, slots=True)
class Published:
    """The result of a run."""

    sent: int
    acknowledged: int


class CameraPublisher:
    """A camera on MQTT; a context manager that connects and disconnects.

    Forms: ``raw`` is the image itself, with its identity in MQTT 5 user properties. MQTT 3.1.1 has none:
    the agent then derives the frame id from the bytes and takes the SKU of the job topic. ``json`` carries
    identity and base64 in any version; ``ref`` carries identity and a path or URL.
    Everything is sent with QoS 1, with at most ``in_flight`` images that the broker has not acknowledged.
    """

    def __init__(
        self,
        options: BrokerOptions,
        topics: Topics,
        camera: Camera,
        *,
        form: Form = "raw",
        in_flight: int = 8,
        expiry_s: int | None = None,
    ) -> None:
        """``options`` as for the agent, with a client id of its own and ``session_expiry_s`` 0.

        ``expiry_s`` lets the broker drop frames that no subscriber took in time (MQTT 5).
        """
        if form not in FORMS:
            raise ValueError(f"the form of a frame is one of {', '.join(FORMS)}, not {form!r}")
        self._form = form
        self._in_flight = in_flight
        self._expiry_s = expiry_s
        self._topic = topics.build("frame", camera)
        self._reference_topic = topics.build("reference", camera)
        self._job_topic = topics.build("sku", camera)
        self._session = Session(options, Counters(), name=f"camera-{camera.camera}")

    def __enter__(self) -> CameraPublisher:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, timeout_s: float = _CONNECT_TIMEOUT_S) -> None:
        """Raises TransportError with the reason if there is no connection in time."""
        self._session.start()
        if not self._session.wait_connected(timeout_s):
            reason = self._session.last_error or "no answer"
            self._session.stop()
            raise TransportError(f"the camera cannot connect to {self._session.options.address}: {reason}")

    def close(self) -> None:
        """Disconnect cleanly."""
        self._session.stop()

    @property
    def version(self) -> str | None:
        """``5`` or ``3.1.1`` while connected."""
        return self._session.version

    def announce_job(self, sku: str, name: str | None = None, description: str | None = None) -> None:
        """Publish the retained job of this camera. Raises TransportError."""
        fields = {"sku": sku, "name": name, "description": description}
        body = {key: value for key, value in fields.items() if value is not None}
        payload = json.dumps(body).encode()
        self._deliver(PublishPacket(self._job_topic, payload, retain=True, content_type="application/json"))

    def clear_job(self) -> None:
        """Clear the retained job. Raises TransportError."""
        self._deliver(PublishPacket(self._job_topic, b"", retain=True))

    def publish(self, shot: Shot) -> Ticket:
        """Hand over one image. Raises TransportError if it cannot be sent."""
        return self._session.publish(self._message(shot, self._topic))

    def enroll(self, shot: Shot) -> Ticket:
        """Hand over one reference, a good part. Raises TransportError."""
        return self._session.publish(self._message(shot, self._reference_topic))

    def run(self, shots: Iterable[Shot], rate_hz: float | None = None) -> Published:
        """Publish all, ``rate_hz`` a second or as fast as the broker acknowledges them.

        An image lost with the connection is sent once more after the reconnect, with the same frame id.
        Raises TransportError if the broker stays away.
        """
        waiting: deque[tuple[Ticket, PublishPacket]] = deque()
        sent = acknowledged = 0
        start = time.monotonic()
        for shot in shots:
            if rate_hz:
                time.sleep(max(0.0, start + sent / rate_hz - time.monotonic()))
            while len(waiting) >= self._in_flight:
                acknowledged += self._acknowledged(*waiting.popleft())
            message = self._message(shot, self._topic)
            waiting.append((self._hand_over(message), message))
            sent += 1
        while waiting:
            acknowledged += self._acknowledged(*waiting.popleft())
        return Published(sent, acknowledged)

    def _acknowledged(self, ticket: Ticket, message: PublishPacket) -> int:
        if ticket.wait(_ACK_TIMEOUT_S) or self._hand_over(message).wait(_ACK_TIMEOUT_S):
            return 1
        logger.warning("the broker did not take an image on %s", message.topic)
        return 0

    def _hand_over(self, message: PublishPacket) -> Ticket:
        if not self._session.wait_connected(_ACK_TIMEOUT_S):
            raise TransportError(f"there is no connection to the broker: {self._session.last_error}")
        return self._session.publish(message)

    def _deliver(self, message: PublishPacket) -> None:
        if not self._session.publish(message).wait(_ACK_TIMEOUT_S):
            raise TransportError(f"the broker did not acknowledge the message on {message.topic}")

    def _message(self, shot: Shot, topic: str) -> PublishPacket:
        captured = rfc3339(shot.captured_at or datetime.now(UTC))
        fields = {
            "sku": shot.sku,
            "part_id": shot.part_id,
            "frame_id": shot.frame_id,
            "captured_at": captured,
        }
        identity: dict[str, str | int] = {key: value for key, value in fields.items() if value is not None}
        if shot.sequence is not None:
            identity["sequence"] = shot.sequence
        if self._form == "raw":
            return PublishPacket(
                topic,
                shot.encoded,
                content_type=shot.media_type,
                user_properties=tuple((key, str(value)) for key, value in identity.items()),
                expiry_s=self._expiry_s,
            )
        if self._form == "ref":
            if shot.reference is None:
                raise ValueError("the form ref needs the path or URL of each image")
            identity["image_ref"] = shot.reference
        else:
            identity["image"] = base64.b64encode(shot.encoded).decode("ascii")
        return PublishPacket(
            topic, json.dumps(identity).encode(), content_type="application/json", expiry_s=self._expiry_s
        )
