"""DecodeStage, InspectStage and RecordStage: the work of the stages on their deliveries and frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.domain.errors import ModelError, RecipeError, StorageError
from agent.domain.frame import Camera, Delivery
from agent.event_log import EventLog
from agent.inference.batch_limit import device_lost
from agent.inference.inspector import Inspector
from agent.methods.prepared import Prepared
from agent.monitors.sequence_gaps import SequenceGapMonitor
from agent.pipeline.awaiting_recipes import AwaitingRecipes
from agent.pipeline.ingest import FrameIngest, unnamed
from agent.pipeline.ingress_queue import IngressQueue
from agent.pipeline.outbox_publisher import OutboxPublisher
from agent.pipeline.recorder import Recorder
from agent.pipeline.router import MessageRouter
from agent.pipeline.stage_queue import StageOutput, StageQueue
from agent.pipeline.superseded import Superseded, SupersededFrames
from agent.pipeline.work_item import WorkItem
from agent.pipeline.worker import StageThread
from agent.ports import FrameDecoder
from agent.recipes.cache import Key, RecipeCache
from agent.telemetry import Counters

T = TypeVar("T")

RECORD_BATCH = 32
GATHER_S = 0.01
"""How long inspected frames wait for others while deliveries queue up at the entrance; about the time of a
write. On an idle line they do not wait."""
LOOK_S = 0.02
"""How often the inspect stage asks for recipes that its frames wait for."""


@dataclass(slots=True, eq=False)
class Taken:
    """A delivery from the ingress queue, and the work item that it became."""

    delivery: Delivery
    work: WorkItem | None = None
    blame: str | None = None
    """Why decoding was given up."""


class DecodeStage:
    """Turns deliveries into work items."""

    def __init__(
        self,
        thread: StageThread,
        ingress: IngressQueue,
        decoder: FrameDecoder,
        router: MessageRouter,
        output: StageOutput,
    ) -> None:
        self._thread = thread
        self._ingress = ingress
        self._decoder = decoder
        self._router = router
        self._output = output

    def take(self) -> Sequence[Taken]:
        """The delivery that has waited longest."""
        delivery = self._ingress.take(self._thread.pace.poll_s)
        if delivery is None:
            return ()
        upcoming = self._ingress.upcoming()
        if upcoming is not None:
            self._decoder.expect(upcoming)
        return (Taken(delivery),)

    def work(self, pieces: Sequence[Taken]) -> None:
        """Route each delivery; a frame goes on to the next stage."""
        for one in pieces:
            if one.work is None:
                one.work = self._thread.retried(lambda one=one: self._routed(one))  # type: ignore[misc]
            if one.work is not None:
                self._output.put(one.work)

    def _routed(self, one: Taken) -> WorkItem | None:
        if one.blame is not None:
            return self._router.give_up(one.delivery, one.blame)
        return self._router.handle(one.delivery)

    def give_up(self, piece: Taken, reason: str, times: int) -> Taken:
        """Mark the delivery: it is not decoded again."""
        return replace(piece, blame=reason)

    def camera(self, piece: Taken) -> Camera:
        return piece.delivery.camera


@dataclass(frozen=True, slots=True)
class StageEnd:
    """When a stage ends."""

    upstream_ended: threading.Event
    """Nothing more can come; what is there is finished."""
    abandoned: threading.Event
    """Everything is left undone."""


class Batcher:
    """Collects frames into one batch of up to ``max_batch``.

    It waits for more only if ``max_wait_ms`` says so. Without, a frame on an idle line is inspected at once,
    and those that come meanwhile are the next batch: the busier the line, the larger the batches.
    """

    def __init__(self, source: StageQueue, max_batch: int, max_wait_ms: float, poll_s: float) -> None:
        self._source = source
        self.max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000.0
        self._poll_s = poll_s

    def take(self, poll_s: float | None = None) -> list[WorkItem]:
        """The next batch, in order; empty if nothing came within ``poll_s`` seconds, by default its own."""
        batch = self._source.take(self.max_batch, self._poll_s if poll_s is None else poll_s)
        deadline = time.monotonic() + self._max_wait_s
        while batch and len(batch) < self.max_batch and (left := deadline - time.monotonic()) > 0.0:
            batch += self._source.take(self.max_batch - len(batch), left)
        return batch


class InspectStage:
    """Inspects micro-batches across cameras and SKUs. A frame whose recipe is being prepared steps aside."""

    def __init__(
        self,
        thread: StageThread,
        batcher: Batcher,
        recipe_cache: RecipeCache,
        inspector: Inspector,
        output: StageOutput,
        awaiting: AwaitingRecipes,
        shutdown: StageEnd,
    ) -> None:
        self._thread = thread
        self._batcher = batcher
        self._recipe_cache = recipe_cache
        self._inspector = inspector
        self._output = output
        self._awaiting = awaiting
        self._shutdown = shutdown
        self._took_awaited = False

    def take(self) -> Sequence[WorkItem]:
        """The next batch. Frames that waited for their recipe take turns with new ones: no other camera waits
        for a backlog, and it does not wait for ever on a busy line.
        """
        while len(self._awaiting):
            full = self._awaiting.is_full
            line = self._batcher.take(0.0) if self._took_awaited and not full else ()
            batch = line or self._awaiting.take(self._batcher.max_batch)
            self._took_awaited = bool(batch) and not line
            if not batch and not full:
                batch = self._batcher.take(LOOK_S)
            # Admitted frames are finished at the end too, and nothing else comes then.
            if batch or not (full or self._shutdown.upstream_ended.is_set()):
                return batch
            if self._shutdown.abandoned.wait(LOOK_S):
                return ()
        return self._batcher.take()

    def work(self, pieces: Sequence[WorkItem]) -> None:
        """Inspect the batch and pass it on; nothing is passed on if the pipeline ends first."""
        for work in pieces:
            if not work.awaited:
                self._awaiting.supersede(work.identity.camera)
        waiting = self._find_recipes(pieces)
        if waiting is None:
            return
        ready = [work for work in pieces if work not in waiting]
        self._inspect([work for work in ready if work.result is None])
        for work in ready:
            self._output.put(work)
        # Last, so that a stage that dies of one piece has the others still in hand.
        for work, key in waiting.items():
            self._awaiting.add(key, work)

    def give_up(self, piece: WorkItem, reason: str, times: int) -> WorkItem:
        """End the frame as ERROR."""
        return replace(piece).fail(reason)

    def camera(self, piece: WorkItem) -> Camera:
        return piece.identity.camera

    def _inspect(self, ready: Sequence[WorkItem]) -> None:
        images = [work.frame.image for work in ready if work.frame is not None]
        prepared = [work.prepared for work in ready if work.prepared is not None]
        for work, result in zip(ready, self._inspector.inspect(images, prepared), strict=True):
            work.result = result

    def _find_recipes(self, batch: Sequence[WorkItem]) -> dict[WorkItem, Key] | None:
        """Give every frame its recipe; those that have to wait for it, or None if the pipeline ends while the
        database does not answer.
        """
        found: dict[Key, Prepared | str | None] = {}
        waiting: dict[WorkItem, Key] = {}
        for work in batch:
            if work.result is not None or work.sku is None:
                continue
            wanted = work.sku, self._recipe_cache.regions_of(work.identity.camera)
            while wanted not in found:
                try:
                    found[wanted] = self._recipe_cache.current(*wanted)
                except (RecipeError, ModelError, RuntimeError, ValueError) as error:  # torch: RuntimeError
                    if device_lost(error):
                        raise  # not this recipe's fault
                    found[wanted] = f"the recipe cannot be used: {error}"
                except StorageError as error:
                    if not self._thread.pause(error):
                        return None
            recipe = found[wanted]
            if recipe is None or (not work.awaited and self._awaiting.holds(wanted)):
                waiting[work] = wanted
            elif isinstance(recipe, str):
                work.fail(recipe)
            else:
                work.prepared = recipe
        return waiting


@dataclass(frozen=True, slots=True)
class RecordParts:
    """What the record stage works with."""

    ingress: Sized
    inspected: StageQueue
    superseded: SupersededFrames
    ingest: FrameIngest
    recorder: Recorder
    gaps: SequenceGapMonitor
    events: EventLog
    publishers: Sequence[OutboxPublisher]
    counters: Counters


class RecordStage:
    """Writes the rows of inspected and superseded frames."""

    def __init__(self, thread: StageThread, parts: RecordParts, upstream_ended: threading.Event) -> None:
        """``upstream_ended``: nothing more is inspected."""
        self._thread = thread
        self._parts = parts
        self._upstream_ended = upstream_ended

    def take(self) -> Sequence[WorkItem | Superseded]:
        """The waiting frames, up to a batch. Events are stored first."""
        parts, over = self._parts, self._upstream_ended.is_set()
        if not len(parts.superseded):
            parts.gaps.report()  # all skipped frames are noted now, so a missing number is really missing
        self._write(lambda: parts.events.flush(everything=over))
        pieces: list[WorkItem | Superseded] = list(parts.superseded.take(RECORD_BATCH))
        if len(pieces) < RECORD_BATCH:
            if len(parts.ingress) and not over:
                # Each frame that waits outside costs less if it shares the transaction and the disk.
                parts.inspected.gather(RECORD_BATCH - len(pieces), GATHER_S)
            wait_s = 0.0 if pieces or over else self._thread.pace.poll_s
            pieces += parts.inspected.take(RECORD_BATCH - len(pieces), wait_s)
        if over and not pieces:
            parts.gaps.report(final=True)
            self._write(lambda: parts.events.flush(everything=True))
        return pieces

    def work(self, pieces: Sequence[WorkItem | Superseded]) -> None:
        found = [piece if isinstance(piece, WorkItem) else self._entered(piece) for piece in pieces]
        works = [work for work in found if work is not None]
        if works and not self._thread.left_undone:
            self._write(lambda: self._parts.recorder.record(works))
            for publisher in self._parts.publishers:
                publisher.wake()

    def give_up(self, piece: WorkItem | Superseded, reason: str, times: int) -> WorkItem | Superseded:
        """End the frame as ERROR: first without its image, then without its messages too."""
        if isinstance(piece, Superseded):
            if piece.work is None:
                return replace(piece, identity=unnamed(piece.delivery))
            piece = piece.work
        bare = replace(piece, frame=None, silent=times > 1)
        return bare.fail(reason)

    def camera(self, piece: WorkItem | Superseded) -> Camera:
        return piece.delivery.camera

    def _entered(self, one: Superseded) -> WorkItem | None:
        """The work item of a superseded frame, noted in ``one`` at once so that it enters only once."""
        if one.work is None and not one.dealt_with and not self._thread.left_undone:
            entered = self._write(lambda: (self._parts.ingest.skip(one.delivery, one.identity),))
            if entered is not None:
                (one.work,) = entered
                one.dealt_with = one.work is None
                self._parts.counters.add("frames_repeated", int(one.dealt_with))
        return one.work

    def _write(self, action: Callable[[], T]) -> T | None:
        def attempt() -> T:
            try:
                return action()
            except StorageError:
                # Recording may take long. Meanwhile free payloads, and send alerts without their events.
                self._parts.superseded.compact()
                self._parts.events.alert_directly()
                raise

        return self._thread.retried(attempt)
