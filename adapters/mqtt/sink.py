"""MqttSink: verdicts, masks and alerts published to the broker."""

from __future__ import annotations

from typing import Protocol

from adapters.mqtt.messages import SINK, MqttMessageComposer
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery
from agent.domain.inspection import Inspection
from agent.ports.sinks import OutboxMessage, PublishTicket, SinkPolicy


class PublishesMessages(Protocol):
    """What a sink needs of :class:`adapters.mqtt.transport.MqttTransport`."""

    def publish(self, message: OutboxMessage) -> PublishTicket: ...


class MqttSink:
    """Composes messages for topics and publishes them on the connection that frames come in on.

    It is never parked: frames come from the broker, so the agent tries it for as long as it runs.
    """

    name = SINK
    policy = SinkPolicy()
    parked: str | None = None

    def __init__(self, transport: PublishesMessages, composer: MqttMessageComposer) -> None:
        self._transport = transport
        self._composer = composer

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        return self._composer.compose(inspection, mask_png, delivery)

    def compose_alert(self, event: Event, camera: Camera) -> tuple[OutboxMessage, ...]:
        return self._composer.compose_alert(event, camera)

    def publish(self, message: OutboxMessage) -> PublishTicket:
        """Hand over with QoS 1; may be called from any thread and does not wait.

        Raises:
            TransportError: not connected, or too many messages are under way.
            UndeliverableError: too large for this broker.
        """
        return self._transport.publish(message)

    def close(self) -> None:
        """Does nothing: the connection belongs to the transport, which ends it after the last status."""
