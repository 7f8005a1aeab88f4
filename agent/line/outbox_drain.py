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
RETRY_S = 1.0
"""How long until what could not be sent is tried again."""
SETTLE_S = 0.02
"""How often acknowledgements are looked for while some are due."""
FAREWELL_S = 10.0
"""How long the end waits for acknowledgements that are due."""


class OutboxDrain:
    """Sends what the history left in the outbox, the oldest first, until the broker has it.

    A message is handed over once a connection: an acknowledgement that is late, because the broker's
    answer waits behind a window of frames, is waited for and not answered by sending again.
    """

    def __init__(self, outbox: Outbox, history: History, publisher: Publisher, counters: Counters) -> None:
        self._outbox = outbox
        self._history = history
        self._publisher = publisher
        self._counters = counters
        self._filled = threading.Event()
        self._under_way: dict[int, PublishTicket] = {}

    def wake(self) -> None:
        """New messages were committed."""
        self._filled.set()

    def run(self, ending: threading.Event) -> None:
        """Drain until ``ending`` is set and nothing more can be sent or is due in time."""
        farewell = None
        while True:
            # Asked first: what was committed before the end is then seen by the round below.
            last = ending.is_set()
            self._filled.clear()
            if self._drain_once():
                continue
            if last:
                farewell = farewell or time.monotonic() + FAREWELL_S
                if not self._under_way or time.monotonic() > farewell:
                    return
            self._filled.wait(SETTLE_S if self._under_way else RETRY_S)

    def _drain_once(self) -> bool:
        """Whether messages went out and more may be pending."""
        try:
            self._settle()
            waiting = self._outbox.pending(BATCH + len(self._under_way))
            fresh = [stored for stored in waiting if stored.id not in self._under_way]
            return self._publish(fresh[:BATCH]) and len(fresh) >= BATCH
        except StorageError as error:
            logger.warning("the outbox cannot be read or marked: %s", error)
            return False

    def _settle(self) -> None:
        """Mark what was acknowledged; what failed is pending again."""
        sent = [number for number, ticket in self._under_way.items() if ticket.wait(0.0)]
        failed = [number for number, ticket in self._under_way.items() if ticket.failed]
        if sent:
            self._outbox.mark_sent(sent)
            self._counters.add("messages_sent", len(sent))
        for number in (*sent, *failed):
            self._under_way.pop(number, None)

    def _publish(self, messages: Sequence[StoredMessage]) -> bool:
        """Hand over, the oldest first; False where one has to wait."""
        for stored in messages:
            try:
                self._under_way[stored.id] = self._publisher.publish(stored.message)
            except UndeliverableError as error:
                self._give_up(stored, error)
            except TransportError as error:
                logger.debug("message %d stays in the outbox: %s", stored.id, error)
                self._counters.add("publishes_postponed")
                return False
        return True

    def _give_up(self, stored: StoredMessage, error: UndeliverableError) -> None:
        """It must not stand in the way of those behind it; the row of the event tells."""
        self._counters.add("messages_undeliverable")
        message = f"a {stored.message.kind} for {stored.message.topic} cannot be sent: {error}"
        self._history.record_event(Event("undeliverable", message, datetime.now(UTC), severity="error"))
        self._outbox.mark_sent([stored.id])
