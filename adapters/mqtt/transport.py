"""The agent's connection to the broker (agent.ports.Transport)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt

from adapters.mqtt.connection import Connection
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.publish_queue import Outgoing
from adapters.mqtt.session import Link
from adapters.mqtt.topics import OF_AGENT, Topics
from agent.domain.errors import TransportError
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.ports import OutboxMessage, PublishTicket
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

StatusProvider = Callable[[], Mapping[str, Any]]
"""What stands in the status beside ``status``, ``agent`` and ``at``: version, models, cameras..."""

_FINAL_STATUS_S = 3.0
_CAMERAS_CHARACTERS = 8_000
"""Of all names in the status together: a will has at most 65,535 bytes, and anybody may invent cameras."""


class MqttTransport:
    """Deliveries in, messages out, presence kept (agent.ports.Transport).

    Presence: the will ``offline`` and a retained ``online`` on every connect, published last, after the
    subscriptions stand; a retained ``stopped`` on :meth:`stop`. All name the cameras (``LINE/CAMERA``) of the
    provider and those that have sent something; ``online`` is published again when one is new. Deliveries
    of QoS 1 are acknowledged by hand.
    """

    def __init__(
        self,
        options: BrokerOptions,
        topics: Topics,
        status: StatusProvider = dict,
        counters: Counters | None = None,
    ) -> None:
        self._topics = topics
        self._status = status
        self._counters = counters if counters is not None else Counters()
        self._cameras: frozenset[str] = frozenset()
        self._on_delivery: Callable[[Delivery], None] | None = None
        self._link = Link(
            options,
            self._counters,
            subscriptions=topics.subscriptions,
            # Rights that were given before there were commands must not keep the frames out.
            optional=(topics.command,),
            will=lambda: self._presence("offline"),
            on_message=self._receive,
            on_ready=self._greet,
        )

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect in the background and keep connected. ``on_delivery`` must only enqueue.

        Raises ConfigurationError for unusable credentials or TLS files, TransportError when started twice.
        """
        self._on_delivery = on_delivery
        self._link.start()

    def stop(self, *, final_status: str = "stopped") -> None:
        """Publish the retained status and disconnect cleanly; the broker then forgets the will.

        Where the status cannot be told, the connection is just left: the will tells ``offline`` then, and
        the retained ``online`` does not stand for ever.
        """
        self._on_delivery = (
            None  # what still comes stays unacknowledged: the broker keeps it for the next start
        )
        self._link.drain()
        told = False
        if self._link.connected:
            try:
                told = self._link.publish(self._presence(final_status)).wait(_FINAL_STATUS_S)
                if not told:
                    logger.warning("the broker did not acknowledge the status %r", final_status)
            except TransportError as error:
                logger.warning("the status %r could not be published: %s", final_status, error)
        self._link.stop(cleanly=told)

    @property
    def connected(self) -> bool:
        """Accepted by the broker and subscribed."""
        return self._link.connected

    @property
    def version(self) -> str | None:
        """``5`` or ``3.1.1`` while connected."""
        return self._link.version

    @property
    def last_error(self) -> str | None:
        """Why there is no connection; None while there is one."""
        return self._link.last_error

    @property
    def unacknowledged(self) -> int:
        """Deliveries of this connection that the broker still keeps for us."""
        return self._link.unacknowledged

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether there is a connection within ``timeout_s`` seconds."""
        return self._link.wait_connected(timeout_s)

    def publish(self, message: OutboxMessage) -> PublishTicket:
        """Hand over with QoS 1. Raises TransportError: not connected, queue full, or too large."""
        return self._link.publish(
            Outgoing(
                message.destination,
                message.payload,
                retain=message.retain,
                content_type=message.content_type,
                correlation_data=message.correlation_data,
            )
        )

    def announce_presence(self) -> None:
        """Publish the retained ``online`` again, with what the status provider now says.

        Raises TransportError where there is no connection; the next connect does it anyway.
        """
        self._link.publish(self._presence("online"))

    def _presence(self, status: str) -> Outgoing:
        body = {"status": status, "agent": self._topics.agent, **self._status()}
        body["cameras"] = sorted({*body.get("cameras", ()), *self._cameras})
        body["at"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Outgoing(
            self._topics.status, json.dumps(body).encode(), retain=True, content_type="application/json"
        )

    def _greet(self, connection: Connection) -> None:
        connection.publish(self._presence("online"))

    def _receive(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        consume = self._on_delivery
        if consume is None:
            return
        acknowledge = connection.unacknowledged.receive(message.mid) if message.qos == 1 else _nothing
        parsed = self._parse(message)
        if parsed is None:
            self._counters.add("mqtt_unparsable_topics")
            acknowledge()
            return
        if message.dup:
            self._counters.add("mqtt_redelivered")
        if parsed[0].value not in OF_AGENT:
            self._notice(connection, parsed[1])
        window = connection.unacknowledged
        stale = (lambda: window.closed) if message.qos == 1 else _never
        consume(_delivery(*parsed, message, acknowledge, stale))

    def _notice(self, connection: Connection, camera: Camera) -> None:
        """Tell of a camera that was not heard of before."""
        name = f"{camera.line}/{camera.camera}"
        if name in self._cameras:
            return
        if sum(map(len, self._cameras)) + len(name) > _CAMERAS_CHARACTERS:
            self._counters.add("mqtt_cameras_unlisted")
            return
        self._cameras |= {name}
        if not connection.ready:  # the greeting, which comes last, names it
            return
        try:
            connection.publish(self._presence("online"))
        except TransportError as error:
            logger.debug("the status waits for the next connect or camera: %s", error)

    def _parse(self, message: mqtt.MQTTMessage) -> tuple[DeliveryKind, Camera] | None:
        try:
            return self._topics.parse(message.topic)
        except UnicodeDecodeError:
            return None


def _nothing() -> None:
    """The acknowledgement of QoS 0."""


def _never() -> bool:
    """A message of QoS 0 comes once."""
    return False


def _delivery(
    kind: DeliveryKind,
    camera: Camera,
    message: mqtt.MQTTMessage,
    acknowledge: Callable[[], None],
    stale: Callable[[], bool],
) -> Delivery:
    properties = message.properties
    return Delivery(
        kind=kind,
        camera=camera,
        payload=bytes(message.payload),
        received_at=datetime.now(UTC),
        properties=dict(getattr(properties, "UserProperty", ())),
        content_type=getattr(properties, "ContentType", None),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation_data=getattr(properties, "CorrelationData", None),
        redelivered=message.dup,
        retained=message.retain,
        guaranteed=message.qos > 0,
        acknowledge=acknowledge,
        stale=stale,
    )
