"""Intake: deliveries become work. The stage between the waiting room and the inspector."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from agent.domain.errors import FrameError, MessageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity, Job
from agent.domain.recipe import Reference
from agent.monitors.sequence_gaps import SequenceGapMonitor
from agent.onboarding import OnboardingCoordinator
from agent.pipeline.in_flight import InFlight
from agent.pipeline.ingress_queue import IngressQueue
from agent.pipeline.work_item import WorkItem
from agent.ports import FrameDecoder, History, MediaStore, MessageParser
from agent.recipes.commands import Commands
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

JOB_GRACE_S = 2.0
"""How long the first frames without a SKU wait for the retained jobs of their cameras."""

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


class FrameIngest:
    """Understands deliveries one after the other, in their order of arrival."""

    def __init__(
        self,
        room: IngressQueue,
        decoder: FrameDecoder,
        parser: MessageParser,
        in_flight: InFlight,
        history: History,
        media: MediaStore,
        onboarding: OnboardingCoordinator,
        counters: Counters,
        *,
        commands: Commands | None = None,
        numbers: SequenceGapMonitor | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._room = room
        self._decoder = decoder
        self._parser = parser
        self._in_flight = in_flight
        self._history = history
        self._media = media
        self._onboarding = onboarding
        self._counters = counters
        self._commands = commands
        self._numbers = numbers
        self._clock = clock
        self._monotonic = monotonic
        self._jobs: dict[Camera, Job | None] = {}
        self._grace_ends: float | None = None

    def handle(self, delivery: Delivery) -> WorkItem | None:
        """Work for the inspector or the recorder; None where the delivery is dealt with.

        Raises:
            StorageError: the database or the media folder refused; the delivery may be handled
                again.
        """
        if delivery.kind is DeliveryKind.FRAME:
            return self._frame(delivery)
        try:
            if delivery.kind is DeliveryKind.JOB:
                self._job(delivery)
            elif delivery.kind is DeliveryKind.FEEDBACK:
                self._feedback(delivery)
            elif delivery.kind is DeliveryKind.COMMAND:
                self._command(delivery)
            else:
                self._reference(delivery)
        except (MessageError, FrameError) as error:
            self._counters.add("messages_refused")
            self._tell(f"bad-{delivery.kind}", str(error), delivery, severity="warning")
        delivery.acknowledge()
        return None

    def refuse(self, delivery: Delivery, reason: str) -> WorkItem | None:
        """What a delivery ends as that no thread survives: a frame as an ERROR row, others as an event.

        Raises:
            StorageError: as :meth:`handle`.
        """
        self._counters.add("deliveries_given_up")
        if delivery.kind is not DeliveryKind.FRAME:
            self._tell(f"bad-{delivery.kind}", reason, delivery, severity="error")
            delivery.acknowledge()
            return None
        identity = self._in_flight.enter(_numbered(self._identified(delivery), self._numbers), delivery)
        if identity is None:
            self._counters.add("frames_repeated")
            return None
        if self._numbers is not None:
            self._numbers.note(identity)
        sku = identity.sku or self.known_sku(identity.camera)
        return WorkItem(replace(delivery, payload=b""), identity, sku=sku).fail(reason)

    def _identified(self, delivery: Delivery) -> FrameIdentity:
        try:
            return self._decoder.identify(delivery)
        except Exception:
            # It never raises; but this delivery has just shown that something is not as it should be.
            logger.exception(
                "a frame could not even be identified; its id is derived from its bytes",
                extra=about(delivery.camera),
            )
            self._counters.add("frames_unidentified")
            return nameless(delivery)

    # --------------------------------------------------------------------------------------- frames

    def _frame(self, delivery: Delivery) -> WorkItem | None:
        if self._has_its_row(delivery):
            delivery.acknowledge()
            self._counters.add("frames_repeated")
            return None
        started = self._monotonic()
        # From here on the image is what is kept in memory, not the message that it came in.
        light = replace(delivery, payload=b"")
        try:
            frame = self._decoder.decode(delivery)
            work = WorkItem(light, frame.identity, frame=frame, admitted=started)
        except FrameError as error:
            work = WorkItem(light, error.identity, admitted=started).fail(error.reason)
        work.decoded = self._monotonic()
        work.decode_ms = (work.decoded - started) * 1000.0
        work.queue_ms = max(0.0, (started - delivery.arrived) * 1000.0)
        self._name_sku(work)
        # Entered last: whatever may fail above leaves no trace, so the delivery can be handled again.
        identity = self._in_flight.enter(_numbered(work.identity, self._numbers), delivery)
        if identity is None:
            self._counters.add("frames_repeated")
            return None
        work.identity = identity
        if self._numbers is not None:
            self._numbers.note(identity)
        return work

    def _has_its_row(self, delivery: Delivery) -> bool:
        """Asked before it is decoded: what comes again may be what a stage died of, and it costs less."""
        if not (delivery.redelivered or delivery.retained):
            return False
        return self._history.knows(self._identified(delivery))

    def _name_sku(self, work: WorkItem) -> None:
        if work.judgement is not None:
            # Its row tells whose product it was, where that is known; nobody is made to wait for it.
            work.sku = work.identity.sku or self.known_sku(work.identity.camera)
            return
        work.sku = work.identity.sku or self._sku_of_job(work.identity.camera)
        if work.sku is None:
            work.fail(
                "the frame names no SKU and no job is announced for its camera; "
                "send one with the frame or publish a retained job on the camera's sku topic"
            )
            return
        self._onboarding.meet(Job(work.sku))
        if work.frame is not None:
            self._onboarding.observe(work.sku, work.frame.image)

    def _sku_of_job(self, camera: Camera) -> str | None:
        if camera not in self._jobs:
            announced = self._room.take_job_of(camera, self._grace_left())
            if announced is not None:
                try:
                    self.handle(announced)
                except Exception:  # whatever it was: the job is nobody else's, and comes next
                    self._room.put_back(announced)
                    raise
            self._jobs.setdefault(camera, None)
        return self.known_sku(camera)

    def known_sku(self, camera: Camera) -> str | None:
        """The SKU of the camera's job, as far as its job has come."""
        job = self._jobs.get(camera)
        return job.sku if job else None

    def _grace_left(self) -> float:
        """Retained jobs come together, right after the subscription: all cameras share one wait."""
        now = time.monotonic()
        if self._grace_ends is None:
            self._grace_ends = now + JOB_GRACE_S
        return max(0.0, self._grace_ends - now)

    # --------------------------------------------------------------------------------------- others

    def _job(self, delivery: Delivery) -> None:
        job = self._parser.job(delivery)
        before = self._jobs.get(delivery.camera)
        if job is not None:
            self._onboarding.meet(job)
        if job != before:
            sku = job.sku if job else None
            self._tell("job", f"{delivery.camera} now runs {sku or 'no job'}", delivery, sku=sku)
        self._jobs[delivery.camera] = job

    def _feedback(self, delivery: Delivery) -> None:
        feedback = self._parser.feedback(delivery)
        if not self._history.record_feedback(feedback):
            raise MessageError("no inspection matches this feedback; check its id and camera")
        self._counters.add("feedback")

    def _command(self, delivery: Delivery) -> None:
        if self._commands is None:
            raise MessageError("this agent takes no commands")
        self._commands.handle(delivery)

    def _reference(self, delivery: Delivery) -> None:
        frame = self._decoder.decode(delivery)
        sku = frame.identity.sku or self._sku_of_job(delivery.camera)
        if sku is None:
            raise MessageError("the reference names no SKU and no job is announced for its camera")
        path = self._media.put(frame.encoded, _SUFFIXES.get(frame.media_type, ".img"))
        sha256 = PurePosixPath(path).stem
        self._onboarding.refer(sku, Reference(sha256, path, frame.identity.frame_id))
        self._counters.add("references")

    def _tell(
        self,
        kind: str,
        message: str,
        delivery: Delivery,
        *,
        sku: str | None = None,
        severity: str = "info",
    ) -> None:
        self._history.record_event(
            Event(kind, message, self._clock(), str(delivery.camera), sku, severity=severity)
        )


def skipped(
    delivery: Delivery,
    identity: FrameIdentity,
    in_flight: InFlight,
    known_sku: Callable[[Camera], str | None] = lambda camera: None,
    numbers: SequenceGapMonitor | None = None,
) -> WorkItem | None:
    """The work of a frame that a newer one of its camera replaced before it was decoded.

    Raises StorageError.
    """
    entered = in_flight.enter(_numbered(identity, numbers), delivery)
    if entered is None:
        return None
    if numbers is not None:
        numbers.note(entered)
    work = WorkItem(replace(delivery, payload=b""), entered, sku=entered.sku or known_sku(entered.camera))
    return work.skip()


def nameless(delivery: Delivery) -> FrameIdentity:
    """Of a frame whose message cannot be looked into: the same for the same bytes of a camera."""
    digest = hashlib.sha256(str(delivery.camera).encode() + b"\0" + delivery.payload)
    return FrameIdentity(delivery.camera, f"h-{digest.hexdigest()[:24]}", content_derived=True)


def _numbered(identity: FrameIdentity, numbers: SequenceGapMonitor | None) -> FrameIdentity:
    return identity if numbers is None else numbers.numbered(identity)
