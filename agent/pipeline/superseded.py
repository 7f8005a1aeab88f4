"""SupersededFrames: frames that a newer one replaced and whose rows are still to be written."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

from agent.domain.frame import Delivery, FrameIdentity
from agent.event_log import EventLog
from agent.pipeline.in_flight import InFlight
from agent.pipeline.work_item import WorkItem
from agent.ports import FrameDecoder
from agent.telemetry import Counters

WHY = (
    "newer frames replaced them while storage did not answer, and they came without a guarantee of delivery "
    "(QoS 0)"
)


@dataclass(slots=True, eq=False)
class Superseded:
    """A replaced frame: not yet read, or identified, or already in the pipeline."""

    delivery: Delivery
    identity: FrameIdentity | None = None
    work: WorkItem | None = None
    dealt_with: bool = False
    """Whether it has a row already, or another delivery of it is under way."""
    gone: bool = False
    """Whether it has left the queue."""


class SupersededFrames:
    """Bounded. Adding never blocks or asks storage: it runs in the client's network thread.

    Guaranteed deliveries are kept, since the broker's window bounds them; those of lost connections come
    again. Beyond the bounds, others are given up, oldest first, and counted for an event that sums them up.
    """

    def __init__(
        self,
        decoder: FrameDecoder,
        in_flight: InFlight,
        events: EventLog,
        counters: Counters,
        *,
        most: int,
        most_bytes: int,
    ) -> None:
        self._decoder = decoder
        self._in_flight = in_flight
        self._events = events
        self._counters = counters
        self._most = most
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._deliveries: deque[Superseded] = deque()
        self._works: deque[Superseded] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._deliveries) + len(self._works)

    @property
    def bytes_held(self) -> int:
        """Bytes of the payloads that are still needed to identify their frames."""
        with self._lock:
            return self._bytes

    def add_delivery(self, delivery: Delivery) -> None:
        """Add a frame that was replaced before it was decoded."""
        given_up = []
        with self._lock:
            self._deliveries.append(Superseded(delivery))
            self._bytes += len(delivery.payload)
            while len(self._deliveries) > self._most or self._bytes > self._most_bytes:
                found = next((one for one in self._deliveries if _may_go(one.delivery)), None)
                if found is None:
                    break
                self._deliveries.remove(found)
                found.gone = True
                self._bytes -= len(found.delivery.payload)
                given_up.append(found)
        for one in given_up:
            self._give_up(one.delivery)

    def add_work(self, work: WorkItem) -> None:
        """Add a frame that was replaced after it was decoded, and free its image. For the decode stage."""
        work.skip()
        work.delivery = replace(work.delivery, payload=b"")
        with self._lock:
            self._works.append(Superseded(work.delivery, work.identity, work))
            excess = list(self._works)[: max(0, len(self._works) - self._most)]
        for one in excess:
            if one.delivery.guaranteed or one.work is None or not self._in_flight.forget(one.work.identity):
                continue
            with self._lock:
                if one.gone:  # taken meanwhile
                    continue
                one.gone = True
                self._works.remove(one)
            self._give_up(one.delivery)

    def take(self, most: int) -> list[Superseded]:
        """Take the oldest, up to ``most``."""
        taken: list[Superseded] = []
        with self._lock:
            for waiting in (self._works, self._deliveries):
                while waiting and len(taken) < most:
                    one = waiting.popleft()
                    one.gone = True
                    if one.work is None:
                        self._bytes -= len(one.delivery.payload)
                    taken.append(one)
        return taken

    def compact(self) -> None:
        """Identify the frames and free their payloads. Called while storage refuses."""
        with self._lock:
            whole = [one for one in self._deliveries if one.identity is None]
        for one in whole:
            identity, size = self._decoder.identify(one.delivery), len(one.delivery.payload)
            with self._lock:
                if not one.gone:
                    one.identity = identity
                    one.delivery = replace(one.delivery, payload=b"")
                    self._bytes -= size

    def _give_up(self, delivery: Delivery) -> None:
        if delivery.stale():
            self._counters.add("deliveries_stale_dropped")
        else:
            self._events.report_unrecorded(delivery.camera, WHY)


def _may_go(delivery: Delivery) -> bool:
    return not delivery.guaranteed or delivery.stale()
