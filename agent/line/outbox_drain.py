"""The announcing stage: the outbox goes out with QoS 1 and is marked as the broker acknowledges."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from agent.counters import Counters
from agent.errors import StorageError, TransportError, UndeliverableError
from agent.inspection import Event
from agent.ports import History, Outbox, Publisher, PublishTicket, StoredMessage

logger = logging.getLogger(__name__)

BATCH = 64
PUBACK_TIMEOUT_S = 10.0
RETRY_S = 1.0


class OutboxDrain:
    """Sends what the history left in the outbox, the oldest first, until the broker has it."""

    def __init__(self, outbox: Outbox, history: History, publisher: Publisher, counters: Counters) -> None:
        self._outbox = outbox
        self._history = history
        self._publisher = publisher
        self._counters = counters
        self._filled = threading.Event()

    def wake(self) -> None:
        """New messages were committed."""
        self._filled.set()

    def run(self, ending: threading.Event) -> None:
        """Drain until ``ending`` is set and nothing more can be sent."""
        while True:
            # Asked first: what was committed before the end is then seen by the round below.
            last = ending.is_set()
            self._filled.clear()
            if self._drain_once():
                continue
            if last:
                return
            # Woken by the recorder; the time limit retries what could not be sent.
            self._filled.wait(RETRY_S)

    def _drain_once(self) -> bool:
        """Whether messages went out and more may be pending."""
        try:
            pending = self._outbox.pending(BATCH)
            tickets, undeliverable = self._publish(pending)
            deadline = time.monotonic() + PUBACK_TIMEOUT_S
            sent = [
                number for number, ticket in tickets if ticket.wait(max(0.0, deadline - time.monotonic()))
            ]
            self._outbox.mark_sent([*sent, *undeliverable])
        except StorageError as error:
            logger.warning("the outbox cannot be read or marked: %s", error)
            return False
        self._counters.add("messages_sent", len(sent))
        return bool(sent or undeliverable) and len(tickets) + len(undeliverable) == len(pending)

    def _publish(self, pending: Sequence[StoredMessage]) -> tuple[list[tuple[int, PublishTicket]], list[int]]:
        tickets: list[tuple[int, PublishTicket]] = []
        undeliverable: list[int] = []
        for stored in pending:
            try:
                tickets.append((stored.id, self._publisher.publish(stored.message)))
            except UndeliverableError as error:
                # It must not stand in the way of those behind it; the row of the event tells.
                self._counters.add("messages_undeliverable")
                message = f"a {stored.message.kind} for {stored.message.topic} cannot be sent: {error}"
                self._history.record_event(
                    Event("undeliverable", message, datetime.now(UTC), severity="error")
                )
                undeliverable.append(stored.id)
            except TransportError as error:
                logger.debug("message %d stays in the outbox: %s", stored.id, error)
                self._counters.add("publishes_postponed")
                break
        return tickets, undeliverable
