"""Transport: the connection to the broker and the messages on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.domain.frame import Delivery, Job
from agent.domain.inspection import Feedback


class UnusableTopics(Protocol):
    """Hears of messages that belong to no camera by their topic. Any thread may call it; it never blocks."""

    def report(self, topic: str, why: str) -> None:
        """A message on ``topic`` was dropped, and ``why``, with the remedy."""
        ...


class Transport(Protocol):
    """The connection to the broker on which deliveries come in."""

    def start(self, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect in the background and keep connected. ``on_delivery`` must only enqueue."""
        ...

    def stop(self, *, final_status: str = "stopped") -> None:
        """Publish the retained status and disconnect cleanly."""
        ...

    @property
    def connected(self) -> bool: ...


class MessageParser(Protocol):
    """Parses jobs and feedback."""

    def job(self, delivery: Delivery) -> Job | None:
        """None for an empty payload: the retained job was cleared. Raises MessageError."""
        ...

    def feedback(self, delivery: Delivery) -> Feedback:
        """Raises MessageError."""
        ...
