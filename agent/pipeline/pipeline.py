"""Pipeline: the stages between a delivery and its acknowledgement, each in a thread of its own."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent.domain.camera_rules import CameraRulebook
from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.monitors.monitors import MonitorOptions, Monitors
from agent.onboarding import OnboardingCoordinator
from agent.pipeline.awaiting_recipes import AwaitingRecipes
from agent.pipeline.camera_jobs import CameraJobs
from agent.pipeline.in_flight import InFlight
from agent.pipeline.ingest import FrameIngest
from agent.pipeline.ingress_queue import Bounds, IngressQueue
from agent.pipeline.outbox_publisher import OutboxPublisher
from agent.pipeline.recorder import Recorder
from agent.pipeline.router import MessageRouter
from agent.pipeline.stage_queue import StageOutput, StageQueue
from agent.pipeline.stages import (
    Batcher,
    DecodeStage,
    InspectStage,
    RecordParts,
    RecordStage,
    StageEnd,
)
from agent.pipeline.superseded import SupersededFrames
from agent.pipeline.supervisor import Shutdown, Supervision, Supervisor
from agent.pipeline.worker import Pace, StageRunner, StageThread
from agent.ports import (
    FrameDecoder,
    History,
    ImageCodec,
    MediaStore,
    MessageParser,
    Outbox,
    Sink,
    Transport,
)
from agent.ports.health import PipelineState
from agent.recipes.cache import RecipeCache
from agent.recipes.commands import Commands
from agent.telemetry import Counters, Measures
from agent.threads import run_with_timeout

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """The pipeline's part of the configuration."""

    max_batch: int = 8
    max_wait_ms: float = 0.0
    """How long a batch that is not full waits for more; 0: it takes those that are there."""
    capacity: int = 256
    """How many deliveries may wait to be decoded; at least the window of unacknowledged messages."""
    rules: CameraRulebook = field(default_factory=CameraRulebook)
    monitors: MonitorOptions = field(default_factory=MonitorOptions)
    """What is reported beside failed parts."""
    supervision: Supervision = field(default_factory=Supervision)
    """What to do if a stage dies or hangs."""
    bounds: Bounds = field(default_factory=Bounds)
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class PipelineParts:
    """The parts of the pipeline, built by the application."""

    transport: Transport
    decoder: FrameDecoder
    parser: MessageParser
    history: History
    outbox: Outbox
    media: MediaStore
    codec: ImageCodec
    sinks: tuple[Sink, ...]
    events: EventLog
    inspector: Inspector
    recipe_cache: RecipeCache
    onboarding: OnboardingCoordinator
    counters: Counters
    agent: Camera
    """Site, ``sightline`` and the agent's id: alerts about the agent itself carry it as their camera."""
    commands: Commands | None = None
    measures: Measures = field(default_factory=Measures)


class Pipeline:
    """Decode, inspect, record and acknowledge, publish (agent/ARCHITECTURE.md)."""

    def __init__(self, parts: PipelineParts, options: PipelineOptions | None = None) -> None:
        self._parts = parts
        self._options = options = options or PipelineOptions()
        self._shutdown = Shutdown(parts.events)
        self._stuck = False
        counters, bounds, rules = parts.counters, options.bounds, options.rules
        self._in_flight = InFlight(parts.history)
        # Frames that a newer one of their camera replaced, before or after they were decoded.
        self._superseded = SupersededFrames(
            parts.decoder,
            self._in_flight,
            parts.events,
            counters,
            most=bounds.superseded,
            most_bytes=bounds.superseded_bytes,
        )
        self.ingress = IngressQueue(
            options.capacity,
            rules,
            self._superseded,
            parts.events,
            counters,
            self._shutdown.ending,
            most_bytes=bounds.waiting_bytes,
        )
        self._decoded = StageQueue(
            2 * options.max_batch, rules, self._superseded, most_bytes=bounds.queue_bytes
        )
        self._awaiting = AwaitingRecipes(parts.recipe_cache, rules, self._superseded, bounds)
        self._inspected = StageQueue(4 * options.max_batch, most_bytes=bounds.queue_bytes)
        self._monitors = Monitors(
            options.monitors,
            rules,
            parts.history,
            parts.events,
            counters,
            transport=parts.transport,
            ingress=self.ingress,
        )
        self._decode, self._inspect, self._record = (
            self._thread(name) for name in ("decode", "inspect", "record")
        )
        self._publishers = [self._publisher(sink) for sink in parts.sinks]
        ingest, router = self._ingest()
        self._runners: list[StageRunner[Any]] = [
            self._decoding(router),
            self._inspecting(),
            self._recording(ingest),
        ]
        self._supervisor = Supervisor(
            [*self._runners, *self._publishers], options.supervision, self._shutdown, parts.events, counters
        )

    # ------------------------------------------------------------------------------------ its parts

    def _thread(self, name: str) -> StageThread:
        return StageThread(name, self._shutdown.ending, self._parts.counters, self._options.pace)

    def _publisher(self, sink: Sink) -> OutboxPublisher:
        parts = self._parts
        thread = self._thread(f"publish-{sink.name}")
        return OutboxPublisher(
            thread, sink, parts.outbox, parts.events, parts.counters, self._shutdown.draining, parts.agent
        )

    def _ingest(self) -> tuple[FrameIngest, MessageRouter]:
        parts = self._parts
        jobs = CameraJobs(
            self.ingress,
            parts.parser,
            parts.onboarding,
            parts.events,
            parts.counters,
            grace_s=self._options.pace.job_grace_s,
            recipes=parts.recipe_cache,
        )
        ingest = FrameIngest(
            parts.decoder,
            parts.history,
            self._in_flight,
            jobs,
            parts.onboarding,
            self._monitors,
            parts.counters,
        )
        if parts.commands is not None:
            parts.commands.confirmed_frames = parts.onboarding
        router = MessageRouter(
            ingest,
            jobs,
            parts.events,
            parts.counters,
            parser=parts.parser,
            decoder=parts.decoder,
            history=parts.history,
            media=parts.media,
            onboarding=parts.onboarding,
            commands=parts.commands,
        )
        return ingest, router

    # Each stage ends once the one before it has ended, so all that was admitted is recorded.

    def _decoding(self, router: MessageRouter) -> StageRunner[Any]:
        thread, shutdown = self._decode, self._shutdown
        output = StageOutput(thread, self._decoded, self._inspect, shutdown.abandoned, self._parts.counters)
        stage = DecodeStage(thread, self.ingress, self._parts.decoder, router, output)
        return StageRunner(thread, stage, shutdown.ending, shutdown.abandoned)

    def _inspecting(self) -> StageRunner[Any]:
        thread, parts, options = self._inspect, self._parts, self._options
        abandoned = self._shutdown.abandoned
        output = StageOutput(thread, self._inspected, self._record, abandoned, parts.counters)
        batcher = Batcher(self._decoded, options.max_batch, options.max_wait_ms, options.pace.poll_s)
        end = StageEnd(self._decode.ended, abandoned)
        stage = InspectStage(
            thread, batcher, parts.recipe_cache, parts.inspector, output, self._awaiting, end
        )
        return StageRunner(thread, stage, end.upstream_ended, abandoned)

    def _recording(self, ingest: FrameIngest) -> StageRunner[Any]:
        thread, parts, upstream_ended = self._record, self._parts, self._inspect.ended
        recorder = Recorder(
            parts.history,
            parts.media,
            parts.codec,
            parts.sinks,
            self._in_flight,
            parts.counters,
            rules=self._options.rules,
            monitors=self._monitors,
            measures=parts.measures,
        )
        record_parts = RecordParts(
            ingress=self.ingress,
            inspected=self._inspected,
            superseded=self._superseded,
            ingest=ingest,
            recorder=recorder,
            gaps=self._monitors.gaps,
            events=parts.events,
            publishers=self._publishers,
            counters=parts.counters,
        )
        stage = RecordStage(thread, record_parts, upstream_ended)
        abandoned = self._shutdown.abandoned
        # A record stage that hangs does so in the database: its frames are judged and wait for that.
        return StageRunner(thread, stage, upstream_ended, abandoned, rescues_when_hanging=False)

    # -------------------------------------------------------------------------------------- its life

    def start(self) -> None:
        """Start the stages, then admit deliveries."""
        self._parts.onboarding.start()
        self._supervisor.start()
        self._parts.transport.start(self._admit)

    def check_cameras(self) -> None:
        """Report cameras that stopped sending; to be called every few seconds."""
        self._monitors.timeouts.check()

    def _admit(self, delivery: Delivery) -> None:
        self._monitors.timeouts.hear(delivery)
        if delivery.kind is DeliveryKind.FRAME:
            self._parts.counters.add("frames_received")
            self._parts.measures.seen(str(delivery.camera), delivery.received_at)
        self.ingress.admit(delivery)

    def stop(self, timeout_s: float | None = None) -> None:
        """Admit nothing more, finish the admitted frames, send what is due, publish ``stopped``.

        Frames not finished after ``timeout_s`` seconds (by default as :class:`Pace` has it) stay
        unacknowledged: the broker delivers them again. Ends in bounded time whatever hangs; see
        :attr:`stuck`.
        """
        pace = self._options.pace
        deadline = time.monotonic() + (pace.stop_s if timeout_s is None else timeout_s)
        self.ingress.close()
        self._shutdown.ending.set()
        stages = [one for one in (self._decode, self._inspect, self._record) if one.started]
        for thread in stages:
            thread.ended.wait(max(0.0, deadline - time.monotonic()))
        self._shutdown.abandoned.set()
        deadline = time.monotonic() + pace.abandon_s
        for thread in stages:
            thread.ended.wait(max(0.0, deadline - time.monotonic()))
        self._report_left()
        self._store_last_events()
        self._stop_publishers()
        self._supervisor.stop()
        try:
            closed = run_with_timeout(pace.close_s, self._close_recipes, "onboarding")
            self._stuck = not closed or any(thread.alive for thread in stages)
        finally:  # whatever closing has raised, the status must not stay "online" for ever
            self._parts.transport.stop(final_status="offline" if self.failed else "stopped")

    def _stop_publishers(self) -> None:
        self._shutdown.draining.set()
        deadline = time.monotonic() + self._options.pace.last_s + self._options.pace.abandon_s
        for publisher in self._publishers:
            publisher.wake()
        for publisher in self._publishers:
            if publisher.thread.started:
                publisher.thread.ended.wait(max(0.0, deadline - time.monotonic()))

    def _close_recipes(self) -> None:
        """Let onboarding and the recipe cache finish what is under way."""
        self._parts.onboarding.close()
        self._parts.recipe_cache.close()

    def _report_left(self) -> None:
        """Report deliveries that no stage has taken: the broker still has those that it guarantees."""
        held = sum(len(runner) for runner in self._runners)
        queues = (self.ingress, self._decoded, self._awaiting, self._inspected, self._superseded)
        left = sum(len(one) for one in queues) + held
        if left:
            self._parts.counters.add("deliveries_left", left)
            message = f"{left} deliveries were left at the end; the broker sends again those it guarantees"
            event = Event("deliveries-left", message, datetime.now(UTC), severity="warning")
            self._parts.events.report(event)

    def _store_last_events(self) -> None:
        events = self._parts.events
        if len(events) and not self._record.left_undone:
            try:
                run_with_timeout(
                    self._options.pace.abandon_s, lambda: events.flush(everything=True), "the last events"
                )
            except StorageError as error:
                logger.warning("the last events cannot be stored: %s", error)
        if len(events):
            self._parts.counters.add("events_lost", len(events))

    @property
    def failed(self) -> bool:
        """Whether the pipeline gave up; the agent should then end and be restarted."""
        return self._shutdown.failed.is_set()

    @property
    def stuck(self) -> bool:
        """After :meth:`stop`: whether a thread hangs, so that the process will not end by itself."""
        return self._stuck

    def wait(self, timeout_s: float) -> bool:
        """Wait until the pipeline has given up; False after ``timeout_s``."""
        return self._shutdown.failed.wait(timeout_s)

    def state(self) -> PipelineState:
        """The pipeline's state, for metrics and health checks. Does not ask the database."""
        threads = (self._decode, self._inspect, self._record, *(one.thread for one in self._publishers))
        oldest = self.ingress.oldest
        return PipelineState(
            stages=tuple(thread.state for thread in threads),
            waiting=len(self.ingress),
            oldest_wait_s=None if oldest is None else time.monotonic() - oldest,
            decoded=len(self._decoded),
            awaiting=len(self._awaiting),
            preparing=self._parts.recipe_cache.under_way,
            inspected=len(self._inspected),
            superseded=len(self._superseded),
            in_flight=len(self._in_flight),
            failed=self.failed,
            storage_wait=next((thread.storage_wait for thread in threads if thread.storage_wait), None),
            sinks=tuple(publisher.state for publisher in self._publishers),
        )

    @property
    def bytes_held(self) -> int:
        """Bytes of the payloads and images that wait between the stages, roughly."""
        queues = self._decoded.bytes_held + self._awaiting.bytes_held + self._inspected.bytes_held
        return self.ingress.bytes_held + queues + self._superseded.bytes_held
