"""The line: the stages between a delivery and its acknowledgement, each in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.domain.errors import StorageError
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.onboarding import OnboardingCoordinator
from agent.pipeline.in_flight import InFlight
from agent.pipeline.ingest import FrameIngest
from agent.pipeline.ingress_queue import Bounds, IngressQueue, Overload
from agent.pipeline.monitors import MonitorOptions, Monitors
from agent.pipeline.outbox_publisher import FAREWELL_S, OutboxPublisher
from agent.pipeline.recorder import Recorder, RecordingOptions
from agent.pipeline.stage_queue import StageQueue
from agent.pipeline.stages import POLL_S, Batcher, DecodeStage, InspectStage, Judge, RecordStage, Taken
from agent.pipeline.superseded import Superseded, SupersededFrames
from agent.pipeline.supervisor import SupervisedStage, Supervision, Supervisor
from agent.pipeline.work_item import WorkItem
from agent.pipeline.worker import StageRunner, StageThread
from agent.ports import (
    FrameDecoder,
    History,
    ImageCodec,
    MediaStore,
    MessageComposer,
    MessageParser,
    Outbox,
    Transport,
)
from agent.ports.health import PipelineState
from agent.recipes.cache import RecipeCache
from agent.recipes.commands import Commands
from agent.telemetry import Counters, Measures
from agent.threads import run_with_timeout

logger = logging.getLogger(__name__)

STOP_S = 20.0
"""How long the end waits for what was admitted. With what follows it stays below the 60 s that systemd and
containers are told to be patient."""
ABANDON_S = 2.0
CLOSE_S = 8.0
REFUSED = (
    "they came without a guarantee of delivery (QoS 0) while the line was full; publish with QoS 1, or set "
    "`overload: latest`"
)


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What the line needs of the configuration."""

    max_batch: int = 8
    max_wait_ms: float = 20.0
    capacity: int = 256
    """Deliveries that wait to be decoded; at least the window of unacknowledged messages."""
    overload: Callable[[Camera], Overload] = lambda camera: Overload.WAIT
    recording: RecordingOptions = field(default_factory=RecordingOptions)
    watch: MonitorOptions = field(default_factory=MonitorOptions)
    """What is alarmed beside failed parts."""
    supervision: Supervision = field(default_factory=Supervision)
    """What happens where a stage dies or hangs."""
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """What the line is made of; built by the application."""

    transport: Transport
    decoder: FrameDecoder
    parser: MessageParser
    history: History
    outbox: Outbox
    media: MediaStore
    codec: ImageCodec
    announcer: MessageComposer
    inspector: Inspector
    cabinet: RecipeCache
    onboarding: OnboardingCoordinator
    counters: Counters
    commands: Commands | None = None
    measures: Measures = field(default_factory=Measures)


class Pipeline:
    """Admit, decode, inspect, record, acknowledge, announce (DESIGN section 3)."""

    def __init__(self, parts: PipelineParts, options: PipelineOptions | None = None) -> None:
        options = options or PipelineOptions()
        self._parts = parts
        self._ending = threading.Event()
        self._failed = threading.Event()
        self._abandoned = threading.Event()
        self._draining = threading.Event()
        self._stuck = False
        self._notices = EventLog(parts.history, parts.announcer, parts.counters)
        self._in_flight = InFlight(parts.history)
        # Frames that a newer one of their camera replaced, before or after they were decoded.
        bounds = options.bounds
        self._skips = SupersededFrames(
            parts.decoder.identify,
            self._in_flight.forget,
            self._notices.lost,
            parts.counters,
            most=bounds.skips,
            most_bytes=bounds.skipped_bytes,
        )
        self._decoded = StageQueue(
            2 * options.max_batch, options.overload, self._skips.add_work, most_bytes=bounds.queue_bytes
        )
        self._judged = StageQueue(4 * options.max_batch, most_bytes=bounds.queue_bytes)
        self.room = IngressQueue(
            options.capacity,
            options.overload,
            self._skips.add_delivery,
            parts.counters,
            on_refused=self._refused,
            most_bytes=bounds.waiting_bytes,
        )
        self._watches = Monitors(
            options.watch,
            parts.history,
            parts.announcer,
            parts.counters,
            transport=parts.transport,
            waiting=lambda: len(self.room),
            shadow=options.recording.shadow,
        )
        self._decode, self._inspect, self._record, self._announce = (
            StageThread(name, self._ending, parts.counters)
            for name in ("decode", "inspect", "record", "announce")
        )
        self._drain = OutboxPublisher(
            parts.outbox, parts.history, parts.transport, parts.counters, self._announce.busy
        )
        intake = self._intake()
        self._hands: dict[str, StageRunner[Any]] = {
            "decode": self._decoding(intake),
            "inspect": self._inspecting(options),
            "record": self._recording(intake, options),
        }
        self._supervisor = Supervisor(
            self._charges(),
            options.supervision,
            parts.counters,
            on_restart=self._restarted,
            on_failure=self._fail,
        )

    # ------------------------------------------------------------------------------------ its parts

    def _intake(self) -> FrameIngest:
        parts = self._parts
        return FrameIngest(
            self.room,
            parts.decoder,
            parts.parser,
            self._in_flight,
            parts.history,
            parts.media,
            parts.onboarding,
            parts.counters,
            commands=parts.commands,
            numbers=self._watches.numbers,
        )

    def _decoding(self, intake: FrameIngest) -> StageRunner[Taken]:
        stage = self._decode
        desk = DecodeStage(stage, self.room, intake, partial(self._put, stage, self._decoded, self._inspect))
        return StageRunner(stage, desk, self._ending.is_set, self._abandoned.is_set)

    def _inspecting(self, options: PipelineOptions) -> StageRunner[WorkItem]:
        stage, parts = self._inspect, self._parts
        batcher = Batcher(self._decoded, options.max_batch, options.max_wait_ms)
        judge = Judge(parts.cabinet, parts.inspector, stage.pause)
        desk = InspectStage(batcher, judge, partial(self._put, stage, self._judged, self._record))
        # Each stage ends once the one before it has: what was admitted is recorded.
        return StageRunner(stage, desk, self._decode.ended.is_set, self._abandoned.is_set)

    def _recording(self, intake: FrameIngest, options: PipelineOptions) -> StageRunner[WorkItem | Superseded]:
        stage, parts, over = self._record, self._parts, self._inspect.ended.is_set
        recorder = Recorder(
            parts.history,
            parts.media,
            parts.codec,
            parts.announcer,
            self._in_flight,
            parts.counters,
            options=options.recording,
            watch=self._watches,
            measures=parts.measures,
        )
        desk = RecordStage(
            stage,
            self._judged,
            self._skips,
            recorder,
            self._in_flight,
            self._notices,
            self._watches.numbers,
            parts.counters,
            identify=parts.decoder.identify,
            known_sku=intake.known_sku,
            recorded=self._drain.wake,
            over=over,
        )
        return StageRunner(stage, desk, over, self._abandoned.is_set)

    def _charges(self) -> list[SupervisedStage]:
        decode, inspect, record = (self._hands[name] for name in ("decode", "inspect", "record"))

        def unless_it_hangs(why: str, everything: bool) -> None:
            # A recorder that hangs does so in the database: its frames are judged, and wait for that.
            if not everything:
                record.give_up_held(why, everything=False)

        return [
            SupervisedStage(
                self._decode, decode.run, lambda why, all_: decode.give_up_held(why, everything=all_)
            ),
            SupervisedStage(
                self._inspect, inspect.run, lambda why, all_: inspect.give_up_held(why, everything=all_)
            ),
            SupervisedStage(self._record, record.run, unless_it_hangs),
            SupervisedStage(self._announce, lambda: self._drain.run(self._draining)),
        ]

    # -------------------------------------------------------------------------------------- its life

    def start(self) -> None:
        """Start the stages, then open the door."""
        self._parts.onboarding.start()
        self._supervisor.start()
        self._parts.transport.start(self._admit)

    def check_silence(self) -> None:
        """Tell of cameras that stopped sending; to be called every few seconds."""
        self._watches.camera_timeouts.check()

    def _admit(self, delivery: Delivery) -> None:
        self._watches.camera_timeouts.hear(delivery)
        if delivery.kind is DeliveryKind.FRAME:
            self._parts.counters.add("frames_received")
            self._parts.measures.seen(str(delivery.camera), delivery.received_at)
        self.room.admit(delivery)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Admit nothing more, finish what was admitted, send what is due, say ``stopped``.

        What is not finished after ``timeout_s`` seconds stays unacknowledged: the broker delivers it again.
        Ends in bounded time whatever hangs; see :attr:`stuck`.
        """
        deadline = time.monotonic() + timeout_s
        self.room.close()
        self._ending.set()
        stages = [stage for stage in (self._decode, self._inspect, self._record) if stage.started]
        for stage in stages:
            stage.ended.wait(max(0.0, deadline - time.monotonic()))
        self._abandoned.set()
        deadline = time.monotonic() + ABANDON_S
        for stage in stages:
            stage.ended.wait(max(0.0, deadline - time.monotonic()))
        self._count_left()
        self._draining.set()
        self._drain.wake()
        if self._announce.started:
            self._announce.ended.wait(FAREWELL_S + ABANDON_S)
        self._supervisor.stop()
        try:
            closed = run_with_timeout(CLOSE_S, self._close_rooms, "onboarding")
            self._stuck = not closed or any(stage.alive for stage in stages)
        finally:  # nobody is told that it is online for ever, whatever closing has raised
            self._parts.transport.stop(final_status="offline" if self.failed else "stopped")

    def _close_rooms(self) -> None:
        """Let onboarding and cabinet finish what is under way."""
        self._parts.onboarding.close()
        self._parts.cabinet.close()

    def _count_left(self) -> None:
        """What nobody came to: the broker has it still, as far as it was told to keep it."""
        hands = sum(len(hand) for hand in self._hands.values())
        left = len(self.room) + len(self._decoded) + len(self._judged) + len(self._skips) + hands
        if left:
            self._parts.counters.add("deliveries_left", left)
            said = f"{left} deliveries were left at the end; the broker sends again those it guarantees"
            logger.warning("%s", said)
            self._notices.tell("deliveries-left", said, severity="warning")
        self._say_last_words()

    def _say_last_words(self) -> None:
        if len(self._notices) and not self._record.left_undone:
            try:
                run_with_timeout(ABANDON_S, partial(self._notices.flush, everything=True), "the last events")
            except StorageError as error:
                logger.warning("the last events cannot be written: %s", error)
        if len(self._notices):
            self._parts.counters.add("events_lost", len(self._notices))

    @property
    def failed(self) -> bool:
        """Whether the line gave up; the agent should then end and be restarted."""
        return self._failed.is_set()

    @property
    def stuck(self) -> bool:
        """After :meth:`stop`: whether a thread hangs, so that the process will not end by itself."""
        return self._stuck

    def wait(self, timeout_s: float) -> bool:
        """Wait until the line has given up; False after ``timeout_s``."""
        return self._failed.wait(timeout_s)

    def state(self) -> PipelineState:
        """The line as it is seen from outside. Asks no database, and waits for none."""
        stages = (self._decode, self._inspect, self._record, self._announce)
        oldest = self.room.oldest
        return PipelineState(
            stages=tuple(stage.state for stage in stages),
            waiting=len(self.room),
            oldest_wait_s=None if oldest is None else time.monotonic() - oldest,
            ready=len(self._decoded),
            judged=len(self._judged),
            superseded=len(self._skips),
            in_flight=len(self._in_flight),
            failed=self.failed,
            storage_wait=next((stage.storage_wait for stage in stages if stage.storage_wait), None),
        )

    @property
    def bytes_held(self) -> int:
        """Payloads and images that wait between the stages, about."""
        queues = self._decoded.bytes_held + self._judged.bytes_held
        return self.room.bytes_held + queues + self._skips.bytes_held

    # -------------------------------------------------------------------------------------- helpers

    def _put(self, stage: StageThread, target: StageQueue, consumer: StageThread, work: WorkItem) -> None:
        """Pass a work on; where nobody takes it any more it stays unacknowledged."""
        with stage.waiting():
            while not (consumer.ended.is_set() or self._abandoned.is_set()):
                try:
                    target.put(work, timeout=POLL_S)
                except queue.Full:
                    continue
                return
        self._parts.counters.add("deliveries_left")

    def _refused(self, delivery: Delivery) -> None:
        self._notices.lost(delivery.camera, REFUSED, frame=delivery.kind is DeliveryKind.FRAME)

    def _restarted(self, stage: StageThread, error: str) -> None:
        hand = self._hands.get(stage.name)
        cameras = hand.cameras if hand is not None else []
        message = f"the {stage.name} stage died ({error}, see the log) and was started again"
        self._notices.tell("stage-restarted", message, cameras[0] if cameras else None)

    def _fail(self, why: str) -> None:
        if self._failed.is_set():
            return
        self._notices.tell("line-failed", f"{why}; the agent ends so that it is started anew")
        self._failed.set()
        self.room.close()
        self._ending.set()
