"""StageQueue: work items between two stages; StageOutput: how a stage passes them on."""

from __future__ import annotations

import queue
import threading
from collections import deque

from agent.domain.camera_rules import CameraRulebook, Overload
from agent.pipeline.ingress_queue import Bounds
from agent.pipeline.superseded import SupersededFrames
from agent.pipeline.work_item import WorkItem
from agent.pipeline.worker import StageThread
from agent.telemetry import Counters


class StageQueue:
    """Bounded by count and by bytes, in order. If only a camera's newest frame counts, at most one of its
    frames waits here."""

    def __init__(
        self,
        capacity: int,
        rules: CameraRulebook | None = None,
        superseded: SupersededFrames | None = None,
        *,
        most_bytes: int = Bounds().queue_bytes,
    ) -> None:
        """``superseded``: takes replaced items; without it, no item replaces another."""
        self._capacity = capacity
        self._rules = rules or CameraRulebook()
        self._superseded = superseded
        self._most_bytes = most_bytes
        self._items: deque[WorkItem] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)

    @property
    def bytes_held(self) -> int:
        """Bytes of the waiting images."""
        with self._changed:
            return self._bytes

    def put(self, work: WorkItem, timeout: float) -> None:
        """Add an item, in place of an older one of its camera if only the newest counts.

        Raises:
            queue.Full: there was no room within ``timeout`` seconds.
        """
        size = work.size
        with self._changed:
            replaced = self._replaced_by(work)
            if replaced is not None:
                # In the older one's place: at the end, a fast camera would be replaced before its turn ever
                # came.
                self._items[self._items.index(replaced)] = work
                self._bytes -= replaced.size
            elif not self._changed.wait_for(lambda: self._room_for(size), timeout):
                raise queue.Full
            else:
                self._items.append(work)
            self._bytes += size
            self._changed.notify_all()
        if replaced is not None and self._superseded is not None:
            self._superseded.add_work(replaced)

    def take(self, most: int, timeout: float) -> list[WorkItem]:
        """Up to ``most`` items, those that have waited longest; empty if none comes within ``timeout`` s."""
        with self._changed:
            if not self._items and timeout > 0.0:
                self._changed.wait_for(lambda: bool(self._items), timeout)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._bytes -= sum(work.size for work in taken)
            if taken:
                self._changed.notify_all()
            return taken

    def gather(self, count: int, timeout: float) -> None:
        """Wait until ``count`` items are there, or the queue is half full, at most ``timeout`` seconds."""
        count = min(count, self._capacity // 2)
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._items) >= count or 2 * self._bytes >= self._most_bytes, timeout
            )

    def _replaced_by(self, work: WorkItem) -> WorkItem | None:
        camera = work.identity.camera
        if self._superseded is None or work.result is not None:
            return None
        if self._rules.of(camera).overload is not Overload.LATEST:
            return None
        return next((w for w in self._items if w.result is None and w.identity.camera == camera), None)

    def _room_for(self, size: int) -> bool:
        # One item always fits, however large: otherwise its camera would wait for ever.
        return not self._items or (
            len(self._items) < self._capacity and self._bytes + size <= self._most_bytes
        )


class StageOutput:
    """Passes work items from one stage to the next."""

    def __init__(
        self,
        thread: StageThread,
        target: StageQueue,
        consumer: StageThread,
        abandoned: threading.Event,
        counters: Counters,
    ) -> None:
        self._thread = thread
        self._target = target
        self._consumer = consumer
        self._abandoned = abandoned
        self._counters = counters

    def put(self, work: WorkItem) -> None:
        """Pass an item on. If no stage takes it any more, it stays unacknowledged."""
        with self._thread.waiting():
            while not (self._consumer.ended.is_set() or self._abandoned.is_set()):
                try:
                    self._target.put(work, timeout=self._thread.pace.poll_s)
                except queue.Full:
                    continue
                return
        self._counters.add("deliveries_left")
