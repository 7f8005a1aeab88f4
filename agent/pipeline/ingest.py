"""FrameIngest: identifies and decodes frame deliveries, and takes each into the pipeline once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from agent.domain.errors import FrameError
from agent.domain.frame import Delivery, FrameIdentity, Job, content_digest, derived_frame_id
from agent.monitors.monitors import Monitors
from agent.onboarding import OnboardingCoordinator
from agent.pipeline.camera_jobs import CameraJobs
from agent.pipeline.in_flight import InFlight
from agent.pipeline.work_item import WorkItem
from agent.ports import FrameDecoder, History
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)


class FrameIngest:
    """Turns frame deliveries into work items, one after the other, each frame once."""

    def __init__(
        self,
        decoder: FrameDecoder,
        history: History,
        in_flight: InFlight,
        jobs: CameraJobs,
        onboarding: OnboardingCoordinator,
        monitors: Monitors,
        counters: Counters,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._history = history
        self._in_flight = in_flight
        self._jobs = jobs
        self._onboarding = onboarding
        self._monitors = monitors
        self._counters = counters
        self._monotonic = monotonic

    def handle(self, delivery: Delivery) -> WorkItem | None:
        """The work item of a frame; None if it is, or was, in the pipeline already.

        Raises:
            StorageError: the database refused; the delivery may be handled again.
        """
        if self._has_its_row(delivery):
            delivery.acknowledge()
            self._counters.add("frames_repeated")
            return None
        started = self._monotonic()
        # From here on memory holds the image, not the message that it came in.
        light = replace(delivery, payload=b"")
        try:
            frame = self._decoder.decode(delivery)
            work = WorkItem(light, frame.identity, frame=frame)
        except FrameError as error:
            work = WorkItem(light, error.identity).fail(error.reason)
        work.decoded = self._monotonic()
        work.decode_ms = (work.decoded - started) * 1000.0
        work.queue_ms = max(0.0, (started - delivery.arrived) * 1000.0)
        self._name_sku(work)
        # Entered last: whatever may fail above leaves no trace, so the delivery can be handled again.
        identity = self._enter(work.identity, delivery)
        if identity is None:
            self._counters.add("frames_repeated")
            return None
        work.identity = identity
        return work

    def fail(self, delivery: Delivery, reason: str) -> WorkItem | None:
        """The work item of a frame that every thread dies of, as ERROR; None if the frame has a row already.

        Raises StorageError, as :meth:`handle`.
        """
        identity = self._enter(self._identify(delivery), delivery)
        if identity is None:
            self._counters.add("frames_repeated")
            return None
        sku = identity.sku or self._jobs.known_sku(identity.camera)
        return WorkItem(replace(delivery, payload=b""), identity, sku=sku).fail(reason)

    def skip(self, delivery: Delivery, identity: FrameIdentity | None = None) -> WorkItem | None:
        """The work item of a frame that a newer one of its camera replaced before it was decoded, as SKIPPED.

        ``identity``: the frame's, if it is known already. Raises StorageError.
        """
        entered = self._enter(identity or self._decoder.identify(delivery), delivery)
        if entered is None:
            return None
        sku = entered.sku or self._jobs.known_sku(entered.camera)
        return WorkItem(replace(delivery, payload=b""), entered, sku=sku).skip()

    def _enter(self, identity: FrameIdentity, delivery: Delivery) -> FrameIdentity | None:
        """Take the frame into the pipeline, and note that its number came; None if it was there before."""
        entered = self._in_flight.enter(self._monitors.gaps.numbered(identity), delivery)
        if entered is not None:
            self._monitors.gaps.note(entered)
            self._monitors.frame_ids.note(entered)
        return entered

    def _identify(self, delivery: Delivery) -> FrameIdentity:
        try:
            return self._decoder.identify(delivery)
        except Exception:
            # It should never raise, but this delivery has just killed a stage.
            logger.exception(
                "a frame could not even be identified; its id is derived from its bytes",
                extra=about(delivery.camera),
            )
            self._counters.add("frames_unidentified")
            return unnamed(delivery)

    def _has_its_row(self, delivery: Delivery) -> bool:
        """Asked before decoding: it costs less, and a repeated frame may be one that a stage died of."""
        if not (delivery.redelivered or delivery.retained):
            return False
        return self._history.knows(self._identify(delivery))

    def _name_sku(self, work: WorkItem) -> None:
        camera = work.identity.camera
        if work.result is not None:
            # The row names the product if it is known; nobody waits for it.
            work.sku = work.identity.sku or self._jobs.known_sku(camera)
            return
        work.sku = work.identity.sku or self._jobs.sku_of(camera)
        if work.sku is None:
            work.fail(self._jobs.why_none(camera))
            return
        work.sku = self._onboarding.known_as(work.sku)
        self._onboarding.register(Job(work.sku))
        if work.frame is not None:
            self._onboarding.offer_frame(work.sku, work.frame.image, camera)


def unnamed(delivery: Delivery) -> FrameIdentity:
    """The identity of a frame whose message cannot be read: the same for the same bytes of a camera."""
    frame_id = derived_frame_id(delivery.camera, delivery.payload)
    return FrameIdentity(
        delivery.camera, frame_id, content_derived=True, content=content_digest(delivery.payload)
    )
