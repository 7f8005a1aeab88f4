"""``MqttTransport``: the agent's connection to the broker, behind :class:`agent.ports.Transport`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as mqtt

from adapters.mqtt.connection import Connection
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.publish_queue import PublishPacket, Ticket
from adapters.mqtt.session import Session
from adapters.mqtt.topics import OF_AGENT, Topics
from agent.domain.errors import TransportError
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.ports import OutboxMessage, PublishTicket, UnusableTopics
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

StatusProvider = Callable[[], Mapping[str, Any]]
"""Further fields of the status beside ``status``, ``agent`` and ``at``: version, models, cameras..."""

_FINAL_STATUS_S = 3.0
_CAMERAS_BYTES = 8_000
"""Length of all names in the status: a will has at most 65,535 bytes, and anyone may invent cameras."""


class MqttTransport:
    """Passes deliveries in and messages out, and keeps the agent's presence.

    Presence is the will ``offline``, a retained ``online`` after every connect and subscription, and a
    retained ``stopped`` on :meth:`stop`. All name the cameras (``LINE/CAMERA``) of the provider and those
    that have sent something; a new camera causes another ``online``. Deliveries of QoS 1 are acknowledged
    explicitly.
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
        self._announced: Ticket | None = None
        """The last status ``online``."""
        self._on_delivery: Callable[[Delivery], None] | None = None
        self._unusable: UnusableTopics | None = None
        self._session = Session(
            options,
            self._counters,
            subscriptions=topics.subscriptions,
            # Rights granted before there were commands must not keep the frames out.
            optional=(topics.command,),
            listener=self,
        )

    def report_topics_to(self, unusable: UnusableTopics) -> None:
        """Report messages that belong to no camera by their topic. They are acknowledged and dropped."""
        self._unusable = unusable

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect in the background and keep connected. ``on_delivery`` must only enqueue.

        Raises ConfigurationError for unusable credentials or TLS files, TransportError if started twice.
        """
        self._on_delivery = on_delivery
        self._session.start()

    def stop(self, *, final_status: str = "stopped") -> None:
        """Publish the retained status and disconnect cleanly; the broker then forgets the will.

        If the status cannot be published, the connection is dropped instead: the broker then publishes the
        will ``offline``, so that the retained ``online`` does not stay.
        """
        # What still comes stays unacknowledged: the broker keeps it for the next start.
        self._on_delivery = None
        self._session.drain()
        published = False
        if self._session.connected:
            try:
                published = self._session.publish(self._presence(final_status)).wait(_FINAL_STATUS_S)
                if not published:
                    logger.warning("the broker did not acknowledge the status %r", final_status)
            except TransportError as error:
                logger.warning("the status %r could not be published: %s", final_status, error)
        self._session.stop(cleanly=published)

    @property
    def connected(self) -> bool:
        """Accepted by the broker and subscribed."""
        return self._session.connected

    @property
    def version(self) -> str | None:
        """``5`` or ``3.1.1`` while connected."""
        return self._session.version

    @property
    def last_error(self) -> str | None:
        """Why there is no connection; None while there is one."""
        return self._session.last_error

    @property
    def unacknowledged(self) -> int:
        """Deliveries of this connection that the broker still keeps for the agent."""
        return self._session.unacknowledged

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether there is a connection within ``timeout_s`` seconds."""
        return self._session.wait_connected(timeout_s)

    def publish(self, message: OutboxMessage) -> PublishTicket:
        """Hand over with QoS 1. Raises TransportError: not connected, queue full, or too large."""
        return self._session.publish(
            PublishPacket(
                message.destination,
                message.payload,
                retain=message.retain,
                content_type=message.content_type,
                correlation_data=message.correlation_data,
            )
        )

    def announce_presence(self) -> None:
        """Publish the retained ``online`` again, with the current status fields.

        Raises TransportError if there is no connection; the next connect publishes it anyway.
        """
        self._announced = self._session.publish(self._presence("online"))

    @property
    def announced(self) -> bool:
        """Whether the broker has the status ``online`` of this agent."""
        return self.connected and self._announced is not None and self._announced.wait(0.0)

    @property
    def refused(self) -> Mapping[str, str]:
        """The status topic and the reason, while the broker refuses what the agent publishes there."""
        why = None if self._announced is None else self._announced.refused
        return {} if why is None else {self._topics.status: why}

    def _presence(self, status: str) -> PublishPacket:
        body = {"status": status, "agent": self._topics.agent, **self._status()}
        body["cameras"] = sorted({*body.get("cameras", ()), *self._cameras})
        body["at"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return PublishPacket(
            self._topics.status, json.dumps(body).encode(), retain=True, content_type="application/json"
        )

    # ------------------------------------------------------------- as the listener of its session

    def will(self) -> PublishPacket:
        """The presence ``offline``."""
        return self._presence("offline")

    def on_ready(self, connection: Connection) -> None:
        """Publish ``online`` on a new connection."""
        self._announced = connection.publish(self._presence("online"))

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        """Pass on a delivery whose topic names a camera or is the agent's; acknowledge any other."""
        consume = self._on_delivery
        if consume is None:
            return
        acknowledge = connection.unacknowledged.receive(message.mid) if message.qos == 1 else _no_ack
        parsed = self._parse(message)
        if parsed is None:
            self._counters.add("mqtt_unparsable_topics")
            self._report_unusable(message)
            acknowledge()
            return
        if message.dup:
            self._counters.add("mqtt_redelivered")
        if parsed[0].value not in OF_AGENT:
            self._list_camera(connection, parsed[1])
        window = connection.unacknowledged
        stale = (lambda: window.closed) if message.qos == 1 else _never
        consume(_delivery(*parsed, message, acknowledge, stale))

    def _list_camera(self, connection: Connection, camera: Camera) -> None:
        """Add a new camera to the status and publish that."""
        name = f"{camera.line}/{camera.camera}"
        if name in self._cameras:
            return
        # As JSON writes them: a letter beyond ASCII takes six or twelve bytes there.
        if sum(len(json.dumps(one)) for one in (*self._cameras, name)) > _CAMERAS_BYTES:
            self._counters.add("mqtt_cameras_unlisted")
            return
        self._cameras |= {name}
        if not connection.ready:  # the ``online`` that follows names it
            return
        try:
            self._announced = connection.publish(self._presence("online"))
        except TransportError as error:
            logger.debug("the status waits for the next connect or camera: %s", error)

    def _report_unusable(self, message: mqtt.MQTTMessage) -> None:
        if self._unusable is None:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            shown = bytes(message._topic).decode("utf-8", "backslashreplace")
            self._unusable.report(shown, "it is not UTF-8; rename it")
        else:
            self._unusable.report(topic, self._topics.refusal(topic))

    def _parse(self, message: mqtt.MQTTMessage) -> tuple[DeliveryKind, Camera] | None:
        try:
            return self._topics.parse(message.topic)
        except UnicodeDecodeError:
            return None


def _no_ack() -> None:
    """For a message of QoS 0."""


def _never() -> bool:
    """Whether a message of QoS 0 will come again."""
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
