"""MessageRouter: takes each delivery to the part of the agent that handles its kind."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath

from agent.domain.errors import FrameError, MessageError
from agent.domain.events import Event
from agent.domain.frame import SUFFIX_OF, Delivery, DeliveryKind
from agent.domain.recipe import Reference
from agent.event_log import EventLog
from agent.onboarding import OnboardingCoordinator
from agent.pipeline.camera_jobs import CameraJobs
from agent.pipeline.ingest import FrameIngest
from agent.pipeline.work_item import WorkItem
from agent.ports import FrameDecoder, History, MediaStore, MessageParser
from agent.recipes.commands import Commands
from agent.telemetry import Counters


class MessageRouter:
    """Handles deliveries one after the other, in their order of arrival."""

    def __init__(
        self,
        ingest: FrameIngest,
        jobs: CameraJobs,
        events: EventLog,
        counters: Counters,
        *,
        parser: MessageParser,
        decoder: FrameDecoder,
        history: History,
        media: MediaStore,
        onboarding: OnboardingCoordinator,
        commands: Commands | None = None,
    ) -> None:
        """The keyword arguments serve feedback, references and commands."""
        self._ingest = ingest
        self._jobs = jobs
        self._events = events
        self._counters = counters
        self._parser = parser
        self._decoder = decoder
        self._history = history
        self._media = media
        self._onboarding = onboarding
        self._commands = commands

    def handle(self, delivery: Delivery) -> WorkItem | None:
        """The work item of a frame; None if the delivery is done with.

        Raises:
            StorageError: the database or the media folder refused; the delivery may be handled again.
        """
        if delivery.kind is DeliveryKind.FRAME:
            return self._ingest.handle(delivery)
        if delivery.kind is DeliveryKind.JOB:
            self._jobs.receive(delivery)
            return None
        try:
            if delivery.kind is DeliveryKind.FEEDBACK:
                self._record_feedback(delivery)
            elif delivery.kind is DeliveryKind.COMMAND:
                self._carry_out(delivery)
            else:
                self._hold_reference(delivery)
        except (MessageError, FrameError) as error:
            self._jobs.refuse(delivery, error)
        delivery.acknowledge()
        return None

    def give_up(self, delivery: Delivery, reason: str) -> WorkItem | None:
        """End a delivery that every thread dies of: a frame as an ERROR row, others as an event.

        Raises StorageError, as :meth:`handle`.
        """
        self._counters.add("deliveries_given_up")
        if delivery.kind is DeliveryKind.FRAME:
            return self._ingest.fail(delivery, reason)
        camera = str(delivery.camera)
        event = Event(f"bad-{delivery.kind}", reason, datetime.now(UTC), camera=camera, severity="error")
        self._events.store(event)
        delivery.acknowledge()
        return None

    def _record_feedback(self, delivery: Delivery) -> None:
        feedback = self._parser.feedback(delivery)
        if feedback.part_id is not None:
            if not self._history.record_part_feedback(feedback):
                raise MessageError(f"no inspection of part {feedback.part_id!r} is known; check its part_id")
        elif not self._history.record_feedback(feedback):
            raise MessageError(feedback.refusal(self._history.feedback_matches(feedback)))
        self._counters.add("feedback")

    def _carry_out(self, delivery: Delivery) -> None:
        if self._commands is None:
            raise MessageError("this agent takes no commands")
        self._commands.handle(delivery)

    def _hold_reference(self, delivery: Delivery) -> None:
        frame = self._decoder.decode(delivery)
        sku = frame.identity.sku or self._jobs.sku_of(delivery.camera)
        if sku is None:
            raise MessageError("the reference names no SKU and no job is announced for its camera")
        path = self._media.put(frame.encoded, SUFFIX_OF.get(frame.media_type, ".img"))
        sha256 = PurePosixPath(path).stem
        self._onboarding.add_reference(sku, Reference(sha256, path, frame.identity.frame_id))
        self._counters.add("references")
