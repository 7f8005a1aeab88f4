"""Small parts of a pipeline for tests of single files: history in memory, event log, superseded frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.images.decoder import PayloadDecoder
from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.sink import MqttSink, PublishesMessages
from adapters.mqtt.topics import Topics
from agent.domain.camera_rules import CameraRulebook, CameraRules, Overload
from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, FrameIdentity
from agent.domain.inspection import Feedback
from agent.event_log import EventLog
from agent.pipeline.in_flight import InFlight
from agent.pipeline.superseded import SupersededFrames
from agent.ports import Entry, History, OutboxMessage
from agent.telemetry import Counters
from storage import SqlHistory


@dataclass
class MemoryHistory:
    """agent.ports.History for parts that only report events."""

    events: list[Event] = field(default_factory=list)
    messages: list[OutboxMessage] = field(default_factory=list)
    refuses: bool = False

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        return [True] * len(entries)

    def knows(self, identity: FrameIdentity) -> bool:
        return False

    def occurrences(self, identity: FrameIdentity) -> int:
        return 0

    def recent_sequences(self, camera: Camera, limit: int) -> Sequence[int]:
        return ()

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        if self.refuses:
            raise StorageError("the disk is full")
        self.events.append(event)
        self.messages.extend(messages)

    def record_feedback(self, feedback: Feedback) -> bool:
        return False

    def feedback_matches(self, feedback: Feedback) -> int:
        return 0

    def record_part_feedback(self, feedback: Feedback) -> int:
        return 0


class AwayHistory(SqlHistory):
    """Records no event while it is ``away``."""

    away = False

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        if self.away:
            raise StorageError("the database is away")
        super().record_event(event, messages)


def mqtt_event_log(
    history: History, transport: PublishesMessages, counters: Counters | None = None, **options: Any
) -> EventLog:
    """An event log of the agent ``cell-7`` whose alerts go out over ``transport``, and directly at need."""
    mqtt = MqttSink(transport, MqttMessageComposer(Topics("plant", "cell-7"), "1"))
    return EventLog(history, (mqtt,), counters or Counters(), direct=(mqtt,), **options)


class Superseding:
    """Superseded frames over a history in memory."""

    def __init__(self, most: int = 10**6, most_bytes: int = 10**9) -> None:
        self.history = MemoryHistory()
        self.counters = Counters()
        self.events = EventLog(self.history, (), self.counters)
        self.in_flight = InFlight(self.history)
        self.frames = SupersededFrames(
            PayloadDecoder(),
            self.in_flight,
            self.events,
            self.counters,
            most=most,
            most_bytes=most_bytes,
        )

    @property
    def unrecorded(self) -> int:
        """Frames that got no row of their own, as events report them."""
        self.events.flush(everything=True)
        return sum(int(event.details["frames"] or 0) for event in self.history.events)

    def deliveries(self) -> list[Delivery]:
        """Those that were replaced before they were decoded, in their order."""
        return [one.delivery for one in self.frames.take(10**6)]


def latest(*cameras: Camera) -> CameraRulebook:
    """These cameras want only their newest frame, all others every one."""
    rules = CameraRules(overload=Overload.LATEST)
    return CameraRulebook(named={f"{camera.line}/{camera.camera}": rules for camera in cameras})
