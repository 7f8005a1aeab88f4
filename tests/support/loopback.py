"""A transport inside the process: deliveries are handed in, publishes are collected."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agent.domain.errors import TransportError
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.ports import OutboxMessage

CAMERA = Camera("plant", "line-1", "top")


class Acknowledgement:
    """Counts how often the broker was allowed to forget a message."""

    def __init__(self, on_call: Callable[[], None] | None = None) -> None:
        self.count = 0
        self._on_call = on_call
        self._lock = threading.Lock()

    def __call__(self) -> None:
        if self._on_call is not None:
            self._on_call()
        with self._lock:
            self.count += 1


@dataclass(slots=True)
class Sent:
    """A delivery that a test handed in, and its acknowledgement."""

    delivery: Delivery
    acknowledgement: Acknowledgement

    @property
    def acknowledged(self) -> bool:
        return self.acknowledgement.count > 0

    def again(self) -> Sent:
        """The same message as the broker would deliver it after a lost connection."""
        acknowledgement = Acknowledgement()
        return Sent(replace(self.delivery, redelivered=True, acknowledge=acknowledgement), acknowledgement)


def message(
    kind: DeliveryKind,
    payload: bytes,
    camera: Camera = CAMERA,
    *,
    on_acknowledge: Callable[[], None] | None = None,
    response_topic: str | None = None,
    sku: str | None = None,
    frame_id: str | None = None,
    part_id: str | None = None,
) -> Sent:
    """A message of any kind from a camera, with MQTT 5 user properties."""
    acknowledgement = Acknowledgement(on_acknowledge)
    named = {"sku": sku, "frame_id": frame_id, "part_id": part_id}
    delivery = Delivery(
        kind,
        camera,
        payload,
        datetime.now(UTC),
        properties={name: value for name, value in named.items() if value is not None},
        response_topic=response_topic,
        acknowledge=acknowledgement,
    )
    return Sent(delivery, acknowledgement)


@dataclass(slots=True)
class Ticket:
    """A publish that the broker has acknowledged, or will later, or never."""

    acknowledged: bool
    failed: bool = False
    refused: str | None = None

    def wait(self, timeout_s: float) -> bool:
        return self.acknowledged


@dataclass(slots=True)
class LoopbackTransport:
    """agent.ports.Transport without a network."""

    refuse: Callable[[OutboxMessage], Exception | None] = lambda message: None
    """What a publish raises; None if it is taken."""
    acknowledges: bool = True
    published: list[OutboxMessage] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    final_status: str | None = None
    _on_delivery: Callable[[Delivery], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        self._on_delivery = on_delivery

    def stop(self, *, final_status: str = "stopped") -> None:
        self.final_status = final_status
        self._on_delivery = None

    @property
    def connected(self) -> bool:
        return self._on_delivery is not None

    def publish(self, message: OutboxMessage) -> Ticket:
        if not self.connected:
            raise TransportError("there is no connection")
        refused = self.refuse(message)
        if refused is not None:
            raise refused
        with self._lock:
            self.published.append(message)
            self.tickets.append(Ticket(self.acknowledges))
            return self.tickets[-1]

    def acknowledge_all(self) -> None:
        """The late acknowledgements come."""
        for ticket in list(self.tickets):
            ticket.acknowledged = not ticket.failed

    def lose_connection(self) -> None:
        """What was not acknowledged cannot be any more."""
        for ticket in list(self.tickets):
            ticket.failed = not ticket.acknowledged

    def refuse_all(self, why: str = "Not authorized") -> None:
        """The broker answers that it does not take what was not acknowledged."""
        self.lose_connection()
        for ticket in list(self.tickets):
            ticket.refused = why if ticket.failed else None

    def deliver(self, *sent: Sent) -> None:
        """Hand messages in as the network thread would, one after the other."""
        for one in sent:
            assert self._on_delivery is not None, "the pipeline was not started"
            self._on_delivery(one.delivery)

    def topics(self) -> list[str]:
        """Topics published so far."""
        with self._lock:
            return [message.destination for message in self.published]
