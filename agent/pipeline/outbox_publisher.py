"""The announcing stage: the outbox goes out with QoS 1 and is marked as the broker acknowledges."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.domain.errors import StorageError, TransportError, UndeliverableError
from agent.domain.events import Event
from agent.ports import History, Outbox, Publisher, PublishTicket, StoredMessage
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

BATCH = 64
RETRY_S = 1.0
"""How long until what could not be sent is tried again."""
SETTLE_S = 0.02
"""How often acknowledgements are looked for while some are due."""
FAREWELL_S = 10.0
"""How long the end waits for acknowledgements that are due."""
_MOST_DEATHS = 2
_MOST_REFUSALS = 3
"""So often storage is asked to mark what was acknowledged before the end leaves it."""


@dataclass(frozen=True, slots=True)
class _Sent:
    ticket: PublishTicket
    what: str
    """For people."""


class OutboxPublisher:
    """Sends what the history left in the outbox, the oldest first, until the broker has it.

    A message is handed over once a connection: an acknowledgement that is late, because the broker's
    answer waits behind a window of frames, is waited for and not answered by sending again. Nor is it read
    again meanwhile. One that the broker refuses rests, and those behind it go out. The drain may be run
    again by another thread after one has died of something unforeseen.
    """

    def __init__(
        self,
        outbox: Outbox,
        history: History,
        publisher: Publisher,
        counters: Counters,
        busy: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """``busy`` is entered for each round of work, so that a supervisor sees one that does not end."""
        self._outbox = outbox
        self._history = history
        self._publisher = publisher
        self._counters = counters
        self._filled = threading.Event()
        self._busy = busy
        self._under_way: dict[int, _Sent] = {}
        self._resting = RefusalBackoff()
        self._look_again = 0.0
        self._refused_until = 0.0
        self._refusals = 0
        self._held_back = False
        self._trying: StoredMessage | None = None
        self._deaths: dict[int, int] = {}

    def wake(self) -> None:
        """New messages were committed."""
        self._filled.set()

    def run(self, ending: threading.Event) -> None:
        """Drain until ``ending`` is set and nothing more can be sent or is due in time."""
        self._count_death()
        farewell = None
        while True:
            # Asked first: what was committed before the end is then seen by the round below.
            last = ending.is_set()
            if self._filled.is_set() or last:
                self._filled.clear()
                self._look_again = 0.0
            with self._busy():
                more = self._drain_once()
            if more:
                continue
            if last:
                farewell = farewell or time.monotonic() + FAREWELL_S
                # What is acknowledged and not marked goes out once more after the next start.
                given_up = time.monotonic() > farewell or self._refusals >= _MOST_REFUSALS
                if not self._under_way or given_up:
                    return
            self._filled.wait(SETTLE_S if self._under_way else RETRY_S)

    def _drain_once(self) -> bool:
        """Whether messages went out and more may be pending."""
        if time.monotonic() < self._refused_until:
            return False
        try:
            self._settle()
            if time.monotonic() < self._look_again:
                return False
            # Whoever commits wakes the drain; other agents' tools on the same database do not.
            self._look_again = time.monotonic() + RETRY_S
            fresh = self._outbox.pending(BATCH, excluding=(*self._under_way, *self._resting.numbers))
            self._refusals = 0
            if self._publish(fresh) and len(fresh) >= BATCH:
                self._look_again = 0.0
                return True
        except StorageError as error:
            self._trying = None
            self._look_again = self._refused_until = time.monotonic() + RETRY_S
            self._refusals += 1
            logger.warning("the outbox cannot be read or marked: %s", error)
        return False

    def _settle(self) -> None:
        """Mark what was acknowledged; what failed is pending again."""
        sent = [number for number, one in self._under_way.items() if one.ticket.wait(0.0)]
        failed = [number for number, one in self._under_way.items() if one.ticket.failed]
        if sent:
            self._outbox.mark_sent(sent)
            self._counters.add("messages_sent", len(sent))
        for number in sent:
            del self._under_way[number]
            self._resting.forget(number)
        for number in failed:
            self._deal_with_refusal(number, self._under_way[number])
            del self._under_way[number]
        if failed or (sent and self._held_back):
            self._look_again = 0.0  # some are pending again, or the client has room again

    def _deal_with_refusal(self, number: int, sent: _Sent) -> None:
        why = sent.ticket.refused
        if why is None:
            return  # the connection went; it goes out with the next one
        if not self._resting.knows(number):
            self._counters.add("messages_put_off")
        if not self._resting.note(number):
            self._give_up(number, sent.what, f"{why}, as were too many others that are tried again")

    def _publish(self, messages: Sequence[StoredMessage]) -> bool:
        """Hand over, the oldest first; False where one has to wait."""
        self._held_back = False
        for stored in messages:
            self._trying = stored
            what = f"a {stored.message.kind} for {stored.message.topic}"
            try:
                if self._deaths.get(stored.id, 0) >= _MOST_DEATHS:
                    raise UndeliverableError("the agent's announcing stage died of it twice; see its log")
                self._under_way[stored.id] = _Sent(self._publisher.publish(stored.message), what)
            except UndeliverableError as error:
                self._give_up(stored.id, what, str(error))
                self._resting.forget(stored.id)
                self._deaths.pop(stored.id, None)
            except TransportError as error:
                logger.debug("message %d stays in the outbox: %s", stored.id, error)
                self._counters.add("publishes_postponed")
                self._trying, self._held_back = None, True
                return False
        self._trying = None
        return True

    def _count_death(self) -> None:
        """Of a message that was being handed over when the thread before died: it gets one more try."""
        if self._trying is not None:
            self._deaths[self._trying.id] = self._deaths.get(self._trying.id, 0) + 1
            self._trying = None

    def _give_up(self, number: int, what: str, why: str) -> None:
        """It must not stand in the way of those behind it; the row of the event tells."""
        self._counters.add("messages_undeliverable")
        message = f"{what} cannot be sent: {why}"
        self._history.record_event(Event("undeliverable", message, datetime.now(UTC), severity="error"))
        self._outbox.mark_sent([number])


FIRST_REST_S = 1.0
LONGEST_REST_S = 300.0
MOST = 500


@dataclass(slots=True)
class _Rest:
    until: float
    length_s: float


class RefusalBackoff:
    """Which messages rest, and for how long: twice as long after each refusal. Not thread-safe.

    Rights may be put right, so a refused message is tried again. How many rest is bounded, though: a frame
    may ask for its answer where the agent may not write, and anybody may send such frames.
    """

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._rests: dict[int, _Rest] = {}

    def note(self, number: int) -> bool:
        """The message was refused, once more perhaps; False where there is no room for it to rest."""
        rest = self._rests.get(number)
        if rest is None and len(self._rests) >= self._most:
            return False
        length_s = FIRST_REST_S if rest is None else min(LONGEST_REST_S, 2.0 * rest.length_s)
        self._rests[number] = _Rest(self._clock() + length_s, length_s)
        return True

    def forget(self, number: int) -> None:
        """The message has gone out."""
        self._rests.pop(number, None)

    def knows(self, number: int) -> bool:
        """Whether the message was refused before."""
        return number in self._rests

    @property
    def numbers(self) -> tuple[int, ...]:
        """Messages that are not to be tried now."""
        now = self._clock()
        return tuple(number for number, rest in self._rests.items() if rest.until > now)
