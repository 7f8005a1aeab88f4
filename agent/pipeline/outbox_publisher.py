"""OutboxPublisher: sends the outbox of one sink and marks what its receiver acknowledged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.domain.errors import StorageError, TransportError, UndeliverableError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.event_log import EventLog
from agent.pipeline.worker import MOST_DEATHS, StageThread
from agent.ports import Outbox, OutboxMessage, PublishTicket, Sink, StoredMessage
from agent.ports.health import SinkState
from agent.telemetry import Counters
from agent.threads import Backoff

logger = logging.getLogger(__name__)

BATCH = 64
MARK_AFTER_S = 1.0
"""A batch that takes longer ends early: messages not marked as sent are sent again after a kill."""
SETTLE_S = 0.02
"""How often to look for acknowledgements while some are due."""
MARK_EVERY_S = 0.2
"""Acknowledged messages are marked together: each transaction makes those that write rows wait. After a kill,
the messages of this time are sent again."""
MOST_RESTING = 500
LONGEST_REST_S = 300.0
MOST_REFUSED_DESTINATIONS = 100
_MOST_STORAGE_FAILURES = 3
"""How often to try to mark acknowledged messages at the end, if storage refuses."""


@dataclass(frozen=True, slots=True)
class _Sent:
    ticket: PublishTicket
    message: OutboxMessage


@dataclass(slots=True)
class _Rest:
    backoff: Backoff
    until: float


class RestingMessages:
    """Messages that the receiver refused. Each rests, twice as long each time, so that others go out.

    Somebody may correct the agent's rights, so a refused message is tried again. The number of resting
    messages is bounded: anybody may send frames that ask for an answer on a topic where the agent may not
    write. Not thread-safe.
    """

    def __init__(
        self, first_s: float, most: int = MOST_RESTING, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_s = first_s
        self._most = most
        self._clock = clock
        self._rests: dict[int, _Rest] = {}

    def refused(self, number: int) -> int | None:
        """Count a refusal. Returns how many there were; None if the message finds no room to rest."""
        rest = self._rests.get(number)
        if rest is None:
            if len(self._rests) >= self._most:
                return None
            rest = self._rests[number] = _Rest(Backoff(self._first_s, LONGEST_REST_S), 0.0)
        rest.until = self._clock() + rest.backoff.failed()
        return rest.backoff.failures

    def forget(self, number: int) -> None:
        """Forget a message that has gone out or was given up."""
        self._rests.pop(number, None)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Messages that must not be tried now."""
        now = self._clock()
        return tuple(number for number, rest in self._rests.items() if rest.until > now)


class RefusedDestinations:
    """Where the receiver refused a message and has taken none since: each is reported once.

    Their number is bounded, as senders of frames choose where they want an answer.
    """

    def __init__(self, most: int = MOST_REFUSED_DESTINATIONS) -> None:
        self._most = most
        self._reasons: dict[str, str] = {}

    def refused(self, destination: str, why: str) -> bool:
        """Keep the reason. True if this is news and should be reported."""
        known = destination in self._reasons
        if known or len(self._reasons) < self._most:
            self._reasons = {**self._reasons, destination: why}  # a new one: other threads read it
        return not known and destination in self._reasons

    def taken(self, destination: str) -> bool:
        """A message has arrived there. True if one was refused before."""
        if destination not in self._reasons:
            return False
        self._reasons = {name: why for name, why in self._reasons.items() if name != destination}
        return True

    @property
    def reasons(self) -> Mapping[str, str]:
        """By destination."""
        return self._reasons


class OutboxPublisher:
    """Sends the messages in the outbox for one sink, oldest first, until the receiver has them.

    A message is handed over once on each connection. If its acknowledgement is late, because the receiver's
    answer waits behind a window of frames, the publisher waits for it and does not send again. Nor does it
    read the message again meanwhile. A message that the receiver refuses rests, and those behind it go out.
    After a thread has died of something unforeseen, another may run the publisher again.
    """

    cameras: Sequence[Camera] = ()

    def __init__(
        self,
        thread: StageThread,
        sink: Sink,
        outbox: Outbox,
        events: EventLog,
        counters: Counters,
        ending: threading.Event,
        agent: Camera,
        *,
        most_resting: int = MOST_RESTING,
    ) -> None:
        """
        Args:
            thread: runs the publisher.
            ending: once it is set, the publisher ends when nothing more can be sent or is due in time.
            agent: site, ``sightline`` and the agent's id: alerts about the sink carry it as their camera.
        """
        self.thread = thread
        self.sink = sink
        self._outbox = outbox
        self._events = events
        self._counters = counters
        self._own = Counters()
        """Of this sink only."""
        self._ending = ending
        self._agent = agent
        self._filled = threading.Event()
        self._under_way: dict[int, _Sent] = {}
        self._refused = RefusedDestinations()
        self._resting = RestingMessages(thread.pace.refusal_rest_s, most_resting)
        retry_s = thread.pace.publish_retry_s
        self._retry_s = retry_s
        self._away = Backoff(retry_s, max(retry_s, sink.policy.longest_pause_s))
        self._look_again = 0.0
        self._away_until = 0.0
        self._storage_away_until = 0.0
        self._storage_failures = 0
        self._held_back = False
        self._mark_at: float | None = None
        """When acknowledged messages are marked; None if there are none."""
        self._last_call: float | None = None
        """Once the end has begun: when it gives up."""
        self._parked: str | None = None
        self._trying: StoredMessage | None = None
        self._deaths: dict[int, int] = {}

    @property
    def state(self) -> SinkState:
        """The sink's state, for metrics and health checks."""
        return SinkState(
            self.sink.name,
            self.sink.parked,
            sent=self._own.get("messages_sent"),
            postponed=self._own.get("publishes_postponed"),
            undeliverable=self._own.get("messages_undeliverable"),
            refused=self._refused.reasons,
        )

    def wake(self) -> None:
        """Look for messages: new ones were committed."""
        self._filled.set()

    def on_give_up(self, why: str, *, everything: bool) -> None:
        """Nothing to do: messages that were not sent stay in the outbox."""

    def run(self) -> None:
        """Publish until the end has begun and nothing more can be sent or is due in time."""
        self._count_death()
        while True:
            # Asked first: the round below then sees all that was committed before the end.
            last = self._ending.is_set()
            if last and self._last_call is None:
                self._last_call = time.monotonic() + self.thread.pace.last_s
            if self._filled.is_set() or last:
                self._filled.clear()
                self._look_again = 0.0
            more = self._round()
            self._report_parking()
            if last and self._may_leave(more=more):
                self.sink.close()
                return
            if not more:
                self._filled.wait(self._pause_s(last=last))

    def _pause_s(self, *, last: bool) -> float:
        """How long to wait for new messages before acknowledgements are looked at."""
        if not self._under_way:
            return self._retry_s
        return SETTLE_S if last or self._held_back else MARK_EVERY_S

    def _may_leave(self, *, more: bool) -> bool:
        """Whether the publisher may end. What it leaves unsent or unmarked goes out after the next start."""
        if self._over() or self._storage_failures >= _MOST_STORAGE_FAILURES:
            return True
        return not more and not self._under_way

    def _over(self) -> bool:
        return self._last_call is not None and time.monotonic() > self._last_call

    def _round(self) -> bool:
        """Mark, then publish a batch. True if messages went out and more may be pending."""
        if time.monotonic() < self._storage_away_until:
            return False
        try:
            with self.thread.busy():
                self._settle()
                if time.monotonic() < max(self._look_again, self._away_until):
                    return False
                # Commits of this agent wake the publisher; those of other tools on the same database do not.
                self._look_again = time.monotonic() + self._retry_s
                known = (*self._under_way, *self._resting.numbers)
                fresh = self._outbox.pending(BATCH, excluding=known, sink=self.sink.name)
            self._storage_failures = 0
            published = self._publish(fresh)
            if published is not None and (published < len(fresh) or len(fresh) >= BATCH):
                self._look_again = 0.0
                return True
        except StorageError as error:
            self._trying = None
            self._look_again = self._storage_away_until = time.monotonic() + self._retry_s
            self._storage_failures += 1
            logger.warning("the outbox of %s cannot be read or marked: %s", self.sink.name, error)
        return False

    def _settle(self) -> None:
        """Mark acknowledged messages as sent, once it is time; those that failed are pending again."""
        sent = [number for number, one in self._under_way.items() if one.ticket.wait(0.0)]
        failed = [number for number, one in self._under_way.items() if one.ticket.failed]
        if sent and not failed and not self._time_to_mark(len(sent)):
            return
        self._mark_at = None
        if sent:
            self._outbox.mark_sent(sent)
            self._count("messages_sent", len(sent))
        for number in sent:
            self._note_taken(self._under_way.pop(number).message.destination)
            self._resting.forget(number)
        for number in failed:
            self._deal_with_refusal(number, self._under_way[number])
            del self._under_way[number]
        if failed or (sent and self._held_back):
            self._look_again = self._away_until = 0.0  # some are pending again, or the client has room again

    def _time_to_mark(self, count: int) -> bool:
        now = time.monotonic()
        if self._mark_at is None:
            self._mark_at = now + MARK_EVERY_S
        return count >= BATCH or now >= self._mark_at or self._held_back or self._ending.is_set()

    def _deal_with_refusal(self, number: int, sent: _Sent) -> None:
        why = sent.ticket.refused
        if why is None:
            return  # the connection was lost; the message goes out on the next one
        if self._refused.refused(sent.message.destination, why):
            self._report(
                "publish-refused", f"{_what(sent.message)} was refused, it is tried again: {why}", "warning"
            )
        times = self._resting.refused(number)
        if times == 1:
            self._count("messages_put_off")
        most = self.sink.policy.most_refusals
        if times is None:
            self._give_up(number, sent.message, f"{why}, as were too many others that are tried again")
        elif most is not None and times >= most:
            self._give_up(number, sent.message, f"{why}, {times} times")

    def _publish(self, messages: Sequence[StoredMessage]) -> int | None:
        """Hand messages over, oldest first. Returns how many; None if one has to wait."""
        self._held_back = False
        started = time.monotonic()
        for index, stored in enumerate(messages):
            self._trying = None  # the message before has been handed over: a death is not its fault
            if self._over():
                return None
            if time.monotonic() - started > MARK_AFTER_S:
                return index
            self._trying = stored
            handed_over = stored.message
            try:
                if self._deaths.get(stored.id, 0) >= MOST_DEATHS:
                    raise UndeliverableError("the agent's publisher died of it twice; see its log")
                with self.thread.busy():
                    self._under_way[stored.id] = _Sent(self.sink.publish(handed_over), handed_over)
            except UndeliverableError as error:
                self._refused.refused(handed_over.destination, str(error))
                self._give_up(stored.id, handed_over, str(error))
                self._deaths.pop(stored.id, None)
            except TransportError as error:
                logger.debug("message %d stays in the outbox: %s", stored.id, error)
                self._count("publishes_postponed")
                self._trying, self._held_back = None, True
                self._away_until = time.monotonic() + self._away.failed()
                return None
            else:
                self._away.succeeded()
                self._away_until = 0.0
        self._trying = None
        return len(messages)

    def _count_death(self) -> None:
        """Count a death of the thread on the message that it was handing over, which gets one more try."""
        if self._trying is not None:
            self._deaths[self._trying.id] = self._deaths.get(self._trying.id, 0) + 1
            self._trying = None

    def _give_up(self, number: int, given_up: OutboxMessage, why: str) -> None:
        """Give up a message that would hold up those behind it, and report it as an event."""
        self._count("messages_undeliverable")
        message = f"{_what(given_up)} cannot be sent: {why}"
        # Stored before it is marked: a message does not vanish without its event.
        self._events.store(Event("undeliverable", message, datetime.now(UTC), severity="error"))
        self._outbox.mark_sent([number])
        self._resting.forget(number)

    def _report_parking(self) -> None:
        before, self._parked = self._parked, self.sink.parked
        if self._parked == before:
            return
        if self._parked is not None:
            self._count("sinks_parked")
            event = Event("sink-parked", self._parked, datetime.now(UTC), severity="error")
        else:
            event = Event("sink-back", f"{self.sink.name} is served again", datetime.now(UTC))
        self._events.report(event, alert=self._agent)

    def _note_taken(self, destination: str) -> None:
        if self._refused.taken(destination):
            self._report("publish-accepted", f"messages for {destination} are taken again", "info")

    def _report(self, kind: str, message: str, severity: str) -> None:
        self._events.report(Event(kind, message, datetime.now(UTC), severity=severity))

    def _count(self, name: str, count: int = 1) -> None:
        self._counters.add(name, count)
        self._own.add(name, count)


def _what(message: OutboxMessage) -> str:
    article = "an" if message.kind[:1] in "aeiou" else "a"
    return f"{article} {message.kind} for {message.destination}"
