"""Sink: what an output must do with verdicts and alerts; beside it OutboxMessage and PublishTicket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery
from agent.domain.inspection import Inspection


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message that leaves after the commit, at least once."""

    sink: str
    """The name of the sink that composed it and that publishes it."""
    kind: str
    """``verdict``, ``mask``, ``alert`` or ``reply``."""
    destination: str
    """Where it goes, in the sink's own terms: a topic of MQTT, the name of a webhook."""
    payload: bytes
    content_type: str = "application/json"
    retain: bool = False
    """MQTT only."""
    correlation_data: bytes | None = None
    """MQTT only: what the sender of a frame wants to see again in its answer."""


class EventReporter(Protocol):
    """Takes events from parts that neither store nor publish."""

    def report(self, event: Event) -> None:
        """Log an event and queue it for storage. Never blocks, never raises; any thread may call."""
        ...


class PublishTicket(Protocol):
    """A publish under way. It ends as acknowledged, as failed (the connection is lost) or as refused."""

    def wait(self, timeout_s: float) -> bool:
        """True once the receiver has acknowledged."""
        ...

    @property
    def failed(self) -> bool:
        """Whether no acknowledgement can come any more; one that is only late has not failed."""
        ...

    @property
    def refused(self) -> str | None:
        """Why the receiver refused this message; None if it failed for lack of a connection."""
        ...


@dataclass(frozen=True, slots=True)
class SinkPolicy:
    """How patient the publisher of a sink is."""

    longest_pause_s: float = 1.0
    """While the receiver is away, pauses between attempts double up to this."""
    most_refusals: int | None = None
    """A message that was refused this often is given up, with an event; None: it is tried for ever."""


class Sink(Protocol):
    """An output of the agent.

    A sink has three duties. It composes its messages before the commit, so that they stand in the outbox in
    the same transaction as the row that they report. It publishes each message after the commit. It
    acknowledges by the ticket once the receiver has the message; only then is the message marked as sent.

    Each sink has an outbox publisher of its own, with its own order, backoff and back-pressure. So a receiver
    that is away does not hold up other sinks. Messages of one sink leave in the order of their rows.
    """

    @property
    def name(self) -> str:
        """Its name in the outbox, in metrics and in logs. It must not change from one start to the next."""
        ...

    @property
    def policy(self) -> SinkPolicy: ...

    @property
    def parked(self) -> str | None:
        """Why the receiver is given up for now; None while it is served. The publisher reports a change
        once, as an event and as an alert on the other sinks."""
        ...

    def compose(
        self, inspection: Inspection, mask_png: bytes | None, delivery: Delivery
    ) -> tuple[OutboxMessage, ...]:
        """The messages about one inspection; empty if this sink does not want it. Never blocks."""
        ...

    def compose_alert(self, event: Event, camera: Camera) -> tuple[OutboxMessage, ...]:
        """The messages about an event that does not belong to one inspection: ``drift``, ``burst``, ``gap``,
        ``silent``, ``disk-full``. Never blocks."""
        ...

    def publish(self, message: OutboxMessage) -> PublishTicket:
        """Hand a message over. Called by the publisher of this sink only, one message at a time.

        Raises:
            TransportError: there is no connection, the bounded queue is full or the receiver is parked;
                the message stays in the outbox and is tried again.
            UndeliverableError: this receiver will never take the message.
        """
        ...

    def close(self) -> None:
        """Close connections; called by the publisher once it has ended."""
        ...
