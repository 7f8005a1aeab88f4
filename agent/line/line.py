"""The line: the stages between a delivery and its acknowledgement, each in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from agent.cabinet import Cabinet
from agent.commands import Commands
from agent.counters import Counters
from agent.drift import DriftMonitor, DriftPolicy
from agent.errors import StorageError
from agent.frame import Camera, Delivery
from agent.inspector import Inspector
from agent.line.in_flight import InFlight
from agent.line.intake import Intake, skipped
from agent.line.judge import POLL_S, Batcher, Judge
from agent.line.outbox_drain import OutboxDrain
from agent.line.ready import ReadyQueue
from agent.line.recorder import Recorder, RecordingOptions
from agent.line.waiting import Overload, WaitingRoom
from agent.line.watch import DriftWatch
from agent.line.work import Work
from agent.onboarding import Onboarding
from agent.ports import (
    Announcer,
    FrameDecoder,
    History,
    ImageCodec,
    MediaStore,
    MessageParser,
    Outbox,
    Transport,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

STORAGE_RETRY_S = 1.0
RECORD_BATCH = 32


@dataclass(frozen=True, slots=True)
class LineOptions:
    """What the line needs of the configuration."""

    max_batch: int = 8
    max_wait_ms: float = 20.0
    capacity: int = 256
    """Deliveries that wait to be decoded; at least the window of unacknowledged messages."""
    overload: Callable[[Camera], Overload] = lambda camera: Overload.WAIT
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    drift: DriftPolicy | None = field(default_factory=DriftPolicy)
    """When changing scores are told; None: never."""


@dataclass(frozen=True, slots=True)
class LineParts:
    """What the line is made of; built by the application."""

    transport: Transport
    decoder: FrameDecoder
    parser: MessageParser
    history: History
    outbox: Outbox
    media: MediaStore
    codec: ImageCodec
    announcer: Announcer
    inspector: Inspector
    cabinet: Cabinet
    onboarding: Onboarding
    counters: Counters
    commands: Commands | None = None


class Line:
    """Admit, decode, inspect, record, acknowledge, announce (DESIGN section 3)."""

    def __init__(self, parts: LineParts, options: LineOptions | None = None) -> None:
        options = options or LineOptions()
        self._parts = parts
        self._ending = threading.Event()
        self._failed = threading.Event()
        # Frames that a newer one of their camera replaced, before or after they were decoded.
        self._superseded: deque[Delivery | Work] = deque()
        self._decoded = ReadyQueue(2 * options.max_batch, options.overload, self._superseded.append)
        self._judged: queue.Queue[Work] = queue.Queue(maxsize=4 * options.max_batch)
        self._in_flight = InFlight(parts.history)
        self.room = WaitingRoom(options.capacity, options.overload, self._superseded.append, parts.counters)
        self._intake = Intake(
            self.room,
            parts.decoder,
            parts.parser,
            self._in_flight,
            parts.history,
            parts.media,
            parts.onboarding,
            parts.counters,
            commands=parts.commands,
        )
        self._batcher = Batcher(self._decoded, options.max_batch, options.max_wait_ms)
        self._judge = Judge(parts.cabinet, parts.inspector, self._pause)
        self._recorder = Recorder(
            parts.history,
            parts.media,
            parts.codec,
            parts.announcer,
            self._in_flight,
            parts.counters,
            options=options.recording,
            watch=self._watch(options),
        )
        self._drain = OutboxDrain(parts.outbox, parts.history, parts.transport, parts.counters)
        # Each stage ends once the one before it has: what was admitted is recorded.
        self._stages = [
            threading.Thread(target=self._guard, args=(run,), name=name, daemon=True)
            for name, run in (
                ("decode", self._run_decode),
                ("inspect", self._run_inspect),
                ("record", self._run_record),
            )
        ]
        self._draining = threading.Event()
        self._announce = threading.Thread(
            target=self._guard,
            args=(lambda: self._drain.run(self._draining),),
            name="announce",
            daemon=True,
        )
        self._ended = {thread.name: threading.Event() for thread in self._stages}

    def _watch(self, options: LineOptions) -> DriftWatch | None:
        if options.drift is None:
            return None
        parts = self._parts
        return DriftWatch(DriftMonitor(options.drift), parts.history, parts.announcer, parts.counters)

    def start(self) -> None:
        """Start the stages, then open the door."""
        self._parts.onboarding.start()
        for thread in (*self._stages, self._announce):
            thread.start()
        self._parts.transport.start(self.room.admit)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Admit nothing more, finish what was admitted, send what is due, say ``stopped``."""
        self.room.close()
        self._ending.set()
        for thread in self._stages:
            if thread.ident is not None:  # never started where `start` failed
                thread.join(timeout_s)
        self._draining.set()
        self._drain.wake()
        if self._announce.ident is not None:
            self._announce.join(timeout_s)
        self._parts.onboarding.close()
        self._parts.cabinet.close()
        self._parts.transport.stop(final_status="offline" if self.failed else "stopped")

    @property
    def failed(self) -> bool:
        """Whether a stage died of something unforeseen; the agent should then end and be restarted."""
        return self._failed.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until a stage has failed; False after ``timeout_s``."""
        return self._failed.wait(timeout_s)

    # --------------------------------------------------------------------------------------- stages

    def _guard(self, run: Callable[[], None]) -> None:
        name = threading.current_thread().name
        try:
            run()
        except Exception:
            # The last line of defence: what nobody foresaw must not leave a line that looks alive.
            logger.exception("the %s stage died; the agent ends so that it can be restarted", name)
            self._failed.set()
            self.room.close()
            self._ending.set()
        finally:
            if name in self._ended:
                self._ended[name].set()

    def _run_decode(self) -> None:
        while True:
            delivery = self.room.take(POLL_S)
            if delivery is None:
                if self._ending.is_set():
                    return
                continue
            work = self._retried(lambda delivery=delivery: self._intake.handle(delivery))  # type: ignore[misc]
            if work is not None:
                self._put(self._decoded, work)

    def _run_inspect(self) -> None:
        while True:
            before_ended = self._ended["decode"].is_set()
            batch = self._batcher.take()
            if not batch:
                if before_ended:
                    return
                continue
            if self._judge.judge(batch):
                for work in batch:
                    self._put(self._judged, work)

    def _run_record(self) -> None:
        while True:
            before_ended = self._ended["inspect"].is_set()
            works = self._skips()
            try:
                works.append(self._judged.get(timeout=0.0 if works else POLL_S))
                while len(works) < RECORD_BATCH:
                    works.append(self._judged.get_nowait())
            except queue.Empty:
                pass  # whatever came is recorded
            if works:
                self._retried(lambda works=works: self._recorder.record(works))  # type: ignore[misc]
                self._drain.wake()
            elif before_ended:
                return

    def _skips(self) -> list[Work]:
        works: list[Work] = []
        while self._superseded:
            item = self._superseded.popleft()
            if isinstance(item, Work):
                works.append(item.skip())
                continue
            work = self._retried(
                lambda item=item: skipped(item, self._parts.decoder, self._in_flight, self._intake.known_sku)  # type: ignore[misc]
            )
            if work is not None:
                works.append(work)
        return works

    # -------------------------------------------------------------------------------------- helpers

    def _retried(self, action: Callable[[], T]) -> T | None:
        """Do it once the database and the disk allow; None where the line ends before that."""
        while True:
            try:
                return action()
            except StorageError as error:
                if not self._pause(error):
                    return None

    def _pause(self, error: StorageError) -> bool:
        """Wait before storage is tried again; False where the line ends and must not wait for it.

        What is then left undone stays unacknowledged, so the broker delivers it again.
        """
        self._parts.counters.add("storage_retries")
        logger.error("waiting for storage: %s", error)
        return not self._ending.wait(STORAGE_RETRY_S)

    def _put(self, stage: queue.Queue[Work] | ReadyQueue, work: Work) -> None:
        while not self.failed:
            try:
                stage.put(work, timeout=POLL_S)
            except queue.Full:
                continue
            return
