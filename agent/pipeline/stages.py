"""The judging stage: micro-batches across cameras and SKUs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.domain.errors import ModelError, RecipeError, StorageError
from agent.domain.frame import Camera, Delivery, FrameIdentity
from agent.event_log import EventLog
from agent.inference.batch_limit import device_lost
from agent.inference.inspector import Inspector
from agent.methods.prepared import Prepared
from agent.monitors.sequence_gaps import SequenceGapMonitor
from agent.pipeline.in_flight import InFlight
from agent.pipeline.ingest import FrameIngest, nameless, skipped
from agent.pipeline.ingress_queue import IngressQueue
from agent.pipeline.recorder import Recorder
from agent.pipeline.stage_queue import StageQueue
from agent.pipeline.superseded import Superseded, SupersededFrames
from agent.pipeline.work_item import WorkItem
from agent.pipeline.worker import StageThread
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters

POLL_S = 0.2
"""How long a stage waits for work before it looks whether it should end."""


class Batcher:
    """Takes frames into one batch: up to ``max_batch``, waiting at most ``max_wait_ms`` for more."""

    def __init__(
        self, source: StageQueue | queue.Queue[WorkItem], max_batch: int, max_wait_ms: float
    ) -> None:
        self._source = source
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000.0

    def take(self, timeout_s: float = POLL_S) -> list[WorkItem]:
        """The next batch, in order; empty where nothing came within ``timeout_s``."""
        try:
            batch = [self._source.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + self._max_wait_s
        while len(batch) < self._max_batch:
            remaining = deadline - time.monotonic()
            try:
                # What already waits is taken even when the time is up: it costs no waiting.
                batch.append(self._source.get(timeout=max(0.0, remaining)))
            except queue.Empty:
                break
        return batch


class Judge:
    """Puts frames and their recipes before the inspector."""

    def __init__(
        self, cabinet: RecipeCache, inspector: Inspector, pause: Callable[[StorageError], bool]
    ) -> None:
        """``pause`` waits where the database does not answer; False means the line is ending."""
        self._cabinet = cabinet
        self._inspector = inspector
        self._pause = pause

    def judge(self, batch: list[WorkItem]) -> bool:
        """Give every work of the batch its judgement; False where the line ended before that."""
        if not self._find_recipes(batch):
            return False
        ready = [work for work in batch if work.judgement is None]
        images = [work.frame.image for work in ready if work.frame is not None]
        prepared = [work.prepared for work in ready if work.prepared is not None]
        for work, judgement in zip(ready, self._inspector.inspect(images, prepared), strict=True):
            work.judgement = judgement
        return True

    def _find_recipes(self, batch: list[WorkItem]) -> bool:
        found: dict[str, Prepared | str] = {}
        for work in batch:
            if work.judgement is not None or work.sku is None:
                continue
            while work.sku not in found:
                try:
                    found[work.sku] = self._cabinet.current(work.sku)
                except (RecipeError, ModelError, RuntimeError, ValueError) as error:  # torch: RuntimeError
                    if device_lost(error):
                        raise  # it is no matter of this recipe
                    found[work.sku] = f"the recipe cannot be used: {error}"
                except StorageError as error:
                    if not self._pause(error):
                        return False
            recipe = found[work.sku]
            if isinstance(recipe, str):
                work.fail(recipe)
            else:
                work.prepared = recipe
        return True


T = TypeVar("T")
PassOn = Callable[[WorkItem], None]

RECORD_BATCH = 32


@dataclass(slots=True, eq=False)
class Taken:
    """A delivery out of the waiting room, and the work that it became."""

    delivery: Delivery
    work: WorkItem | None = None
    blame: str | None = None
    """Why it is not decoded any more."""


class DecodeStage:
    """Deliveries become work."""

    def __init__(self, stage: StageThread, room: IngressQueue, intake: FrameIngest, pass_on: PassOn) -> None:
        self._stage = stage
        self._room = room
        self._intake = intake
        self._pass_on = pass_on

    def take(self) -> Sequence[Taken]:
        """See :class:`agent.pipeline.worker.Stage`."""
        delivery = self._room.take(POLL_S)
        return () if delivery is None else (Taken(delivery),)

    def work(self, pieces: Sequence[Taken]) -> None:
        """See :class:`agent.pipeline.worker.Stage`."""
        for one in pieces:
            if one.work is None:
                one.work = self._stage.retried(lambda one=one: self._understood(one))  # type: ignore[misc]
            if one.work is not None:
                self._pass_on(one.work)

    def _understood(self, one: Taken) -> WorkItem | None:
        if one.blame is not None:
            return self._intake.refuse(one.delivery, one.blame)
        return self._intake.handle(one.delivery)

    def give_up(self, piece: Taken, reason: str, times: int) -> Taken:
        """See :class:`agent.pipeline.worker.Stage`."""
        return replace(piece, blame=reason)

    def camera(self, piece: Taken) -> Camera:
        """See :class:`agent.pipeline.worker.Stage`."""
        return piece.delivery.camera


class InspectStage:
    """Batches of work get their judgements."""

    def __init__(self, batcher: Batcher, judge: Judge, pass_on: PassOn) -> None:
        self._batcher = batcher
        self._judge = judge
        self._pass_on = pass_on

    def take(self) -> Sequence[WorkItem]:
        """See :class:`agent.pipeline.worker.Stage`."""
        return self._batcher.take()

    def work(self, pieces: Sequence[WorkItem]) -> None:
        """See :class:`agent.pipeline.worker.Stage`."""
        if self._judge.judge(list(pieces)):
            for work in pieces:
                self._pass_on(work)

    def give_up(self, piece: WorkItem, reason: str, times: int) -> WorkItem:
        """See :class:`agent.pipeline.worker.Stage`."""
        return replace(piece).fail(reason)

    def camera(self, piece: WorkItem) -> Camera:
        """See :class:`agent.pipeline.worker.Stage`."""
        return piece.identity.camera


class RecordStage:
    """Judged work and skipped frames get their rows."""

    def __init__(
        self,
        stage: StageThread,
        judged: StageQueue,
        skips: SupersededFrames,
        recorder: Recorder,
        in_flight: InFlight,
        notices: EventLog,
        numbers: SequenceGapMonitor,
        counters: Counters,
        *,
        identify: Callable[[Delivery], FrameIdentity],
        known_sku: Callable[[Camera], str | None],
        recorded: Callable[[], None],
        over: Callable[[], bool],
    ) -> None:
        """``recorded`` is called after each commit; ``over`` tells whether nothing more is judged."""
        self._stage = stage
        self._judged = judged
        self._skips = skips
        self._recorder = recorder
        self._in_flight = in_flight
        self._notices = notices
        self._numbers = numbers
        self._counters = counters
        self._identify = identify
        self._known_sku = known_sku
        self._recorded = recorded
        self._over = over

    def take(self) -> Sequence[WorkItem | Superseded]:
        """See :class:`agent.pipeline.worker.Stage`."""
        over = self._over()
        if not len(self._skips):
            self._numbers.tell()  # all that was skipped is noted now: what is missing is missing
        self._write(lambda: self._notices.flush(everything=over))
        pieces: list[WorkItem | Superseded] = list(self._skips.take(RECORD_BATCH))
        try:
            pieces.append(self._judged.get(timeout=0.0 if pieces or over else POLL_S))
            while len(pieces) < RECORD_BATCH:
                pieces.append(self._judged.get(timeout=0.0))
        except queue.Empty:
            pass  # whatever came is recorded
        if over and not pieces:
            self._numbers.tell(final=True)
        return pieces

    def work(self, pieces: Sequence[WorkItem | Superseded]) -> None:
        """See :class:`agent.pipeline.worker.Stage`."""
        found = [piece if isinstance(piece, WorkItem) else self._entered(piece) for piece in pieces]
        works = [work for work in found if work is not None]
        if works and not self._stage.left_undone:
            self._write(lambda: self._recorder.record(works))
            self._recorded()

    def give_up(self, piece: WorkItem | Superseded, reason: str, times: int) -> WorkItem | Superseded:
        """See :class:`agent.pipeline.worker.Stage`. First without its image, then without its messages too."""
        if isinstance(piece, Superseded):
            if piece.work is None:
                return replace(piece, identity=nameless(piece.delivery))
            piece = piece.work
        bare = replace(piece, frame=None, silent=times > 1)
        return bare.fail(reason)

    def camera(self, piece: WorkItem | Superseded) -> Camera:
        """See :class:`agent.pipeline.worker.Stage`."""
        return piece.delivery.camera

    def _entered(self, skip: Superseded) -> WorkItem | None:
        """The work of a skipped frame; it is noted in ``skip`` at once, so that it enters once only."""
        if skip.work is None and not skip.dealt_with and not self._stage.left_undone:
            entered = self._write(lambda: (self._enter(skip),))
            if entered is not None:
                (skip.work,) = entered
                skip.dealt_with = skip.work is None
                self._counters.add("frames_repeated", int(skip.dealt_with))
        return skip.work

    def _enter(self, skip: Superseded) -> WorkItem | None:
        identity = skip.identity or self._identify(skip.delivery)
        return skipped(skip.delivery, identity, self._in_flight, self._known_sku, self._numbers)

    def _write(self, action: Callable[[], T]) -> T | None:
        def attempt() -> T:
            try:
                return action()
            except StorageError:
                self._skips.compact()  # it may take long: payloads are let go meanwhile
                raise

        return self._stage.retried(attempt)
