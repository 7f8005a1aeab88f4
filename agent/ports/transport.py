"""Transport: the connection to the broker and the messages on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from agent.domain.frame import Camera, Delivery, Job
from agent.domain.inspection import Feedback, Inspection
from agent.ports.history import OutboxMessage


class PublishTicket(Protocol):
    """A publish under way."""

    def wait(self, timeout_s: float) -> bool:
        """True once the broker has acknowledged."""
        ...

    @property
    def failed(self) -> bool:
        """Whether no acknowledgement can come any more; one that is only late has not failed."""
        ...

    @property
    def refused(self) -> str | None:
        """Why it was refused, where it failed for that and not for lack of a connection."""
        ...


class Publisher(Protocol):
    """The way out."""

    def publish(self, message: OutboxMessage) -> PublishTicket:
        """Hand over for sending with QoS 1. Raises TransportError where there is no connection or
        the bounded outgoing queue is full; the message then stays in the outbox. UndeliverableError where
        this broker will never take it."""
        ...


class Transport(Publisher, Protocol):
    """A connection to the broker: deliveries in, messages out, presence kept."""

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect in the background and keep connected. ``on_delivery`` must only enqueue."""
        ...

    def stop(self, *, final_status: str = "stopped") -> None:
        """Publish the retained status and disconnect cleanly."""
        ...

    @property
    def connected(self) -> bool: ...


class MessageComposer(Protocol):
    """Inspections as messages."""

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        """Verdict, mask where there is one, alert where it FAILed and shadow mode is off, and the
        verdict once more on the delivery's response topic where it names one."""
        ...

    def alert(
        self,
        camera: Camera,
        kind: str,
        reason: str,
        at: datetime,
        *,
        severity: str = "warning",
        sku: str | None = None,
    ) -> OutboxMessage:
        """An alert that is no single inspection's, such as ``drift``, ``burst``, ``gap`` or ``silent``."""
        ...


class MessageParser(Protocol):
    """The small messages: job, feedback."""

    def job(self, delivery: Delivery) -> Job | None:
        """None for an empty payload: the retained job was cleared. Raises MessageError."""
        ...

    def feedback(self, delivery: Delivery) -> Feedback:
        """Raises MessageError."""
        ...
