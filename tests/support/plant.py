"""A whole pipeline with real parts around it; only the broker and the weights are left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.images.decoder import PayloadDecoder
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.messages import JsonCommandParser, MqttMessageComposer, MqttReplier
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.topics import Topics
from adapters.recipes.codec import RecipeYaml
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRulebook, CameraRules
from agent.domain.errors import StorageError
from agent.domain.frame import Camera, DeliveryKind, Image
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade
from agent.methods.prepared import Method, Prepared, Scored
from agent.monitors.monitors import MonitorOptions
from agent.pipeline import Pace, Pipeline, PipelineOptions, PipelineParts
from agent.ports import Entry, FrameDecoder, History, MediaFile, MediaStore, PromptWriter, Sink, Transport
from agent.recipes.cache import RecipeCache
from agent.recipes.commands import Commands
from agent.recipes.import_export import RecipeTransfer
from agent.telemetry import Counters, Measures
from storage import MediaFolder, SqlHistory
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.loopback import CAMERA, LoopbackTransport, Sent, message
from tests.support.onboarding import onboarding
from tests.support.schedule import ManualSchedule

_MONITORED = ("drift", "bursts", "gaps", "site")
QUICK = Pace(poll_s=0.05, storage_retry_s=0.02, job_grace_s=0.2, publish_retry_s=0.05)  # seconds
AGENT = Camera("plant", "sightline", "cell-7")


class GatedFade(Fade):
    """Scores only while its gate is open, and raises what a test sets."""

    def __init__(self) -> None:
        super().__init__(ColourEncoder(), defaults=PARAMETERS)
        self.gate = threading.Event()
        self.gate.set()
        self.scored = 0
        self.failure: Exception | None = None

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        self.scored += len(images)
        assert self.gate.wait(60.0)
        if self.failure is not None:
            raise self.failure
        return super().score(images, prepared)


class Flaky:
    """Refuses ``failures`` times. A test sets the number while threads count it down: neither may undo what
    the other did.
    """

    _failures = 0
    _counting = threading.Lock()

    @property
    def failures(self) -> int:
        return self._failures

    @failures.setter
    def failures(self, number: int) -> None:
        with self._counting:
            self._failures = number

    def refuse(self) -> None:
        """Raises StorageError as often as a test set."""
        with self._counting:
            if not self._failures:
                return
            self._failures -= 1
        raise StorageError("the disk is full")


class FlakyHistory(Flaky, SqlHistory):
    """Refuses ``failures`` transactions before it writes again."""

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        self.refuse()
        return super().record(entries)


class FlakyMedia(Flaky, MediaFolder):
    """Refuses the files of ``failures`` calls before it writes again."""

    def put_all(self, files: Sequence[MediaFile]) -> list[str]:
        self.refuse()
        return super().put_all(files)


class Plant:
    """A pipeline, its transport, and questions about what became of frames."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        method: Method | None = None,
        history: History | None = None,
        media: MediaStore | None = None,
        decoder: FrameDecoder | None = None,
        transport: Transport | None = None,
        sinks: Sequence[Sink] = (),
        rules: CameraRules | None = None,
        named_rules: Mapping[str, CameraRules] | None = None,
        writer: PromptWriter | None = None,
        onboarding_options: Mapping[str, Any] | None = None,
        pace: Pace = QUICK,
        **options: Any,
    ) -> None:
        """``sinks``: beside MQTT. ``rules``: of every camera but those that ``named_rules`` names."""
        self.rooms = rooms
        self.transport = LoopbackTransport()
        self.counters = Counters()
        self.measures = Measures()
        self.schedule = ManualSchedule()
        self.topics = Topics(site="plant", agent="cell-7")
        self.inspector = Inspector(method or Fade(ColourEncoder(), defaults=PARAMETERS))
        history = history or rooms.history
        media = media or rooms.media
        mqtt = MqttSink(self.transport, MqttMessageComposer(self.topics, "1"))
        self.event_log = EventLog(history, (mqtt, *sinks), self.counters, direct=(mqtt,))
        rulebook = CameraRulebook(rules or CameraRules(), named_rules or {})
        self.recipe_cache = RecipeCache(
            rooms.book,
            self.inspector,
            media,
            rooms.codec,
            method="fade",
            rules=rulebook,
            policy=CalibrationPolicy(0.01),
        )
        self.onboarding = onboarding(
            rooms,
            self.recipe_cache,
            self.inspector,
            events=self.event_log,
            writer=writer,
            schedule=self.schedule,
            rules=rulebook,
            **(onboarding_options or {}),
        )
        parts = PipelineParts(
            transport=transport or self.transport,
            decoder=decoder or PayloadDecoder(),
            parser=JsonMessageParser(),
            history=history,
            outbox=rooms.outbox,
            media=media,
            codec=rooms.codec,
            sinks=(mqtt, *sinks),
            events=self.event_log,
            inspector=self.inspector,
            recipe_cache=self.recipe_cache,
            onboarding=self.onboarding,
            counters=self.counters,
            agent=AGENT,
            measures=self.measures,
            commands=Commands(
                JsonCommandParser(),
                MqttReplier(self.topics, "1", self.counters),
                rooms.book,
                RecipeTransfer(rooms.book, media, RecipeYaml(), rooms.codec),
                self.event_log,
                rooms.samples,
                self.counters,
            ),
        )
        monitored = {name: options.pop(name) for name in _MONITORED if name in options}
        self.pipeline = Pipeline(
            parts,
            PipelineOptions(
                rules=rulebook,
                monitors=MonitorOptions(**monitored),
                pace=pace,
                **options,
            ),
        )

    def deliver(self, *sent: Sent) -> None:
        """Hand messages in."""
        self.transport.deliver(*sent)

    def inspected(self, *sent: Sent) -> list[dict[str, Any]]:
        """Hand messages in, wait until all are acknowledged, and return all rows of the history."""
        self.deliver(*sent)
        self.acknowledged(*sent)
        return self.rows()

    def acknowledged(self, *sent: Sent) -> None:
        """Wait until the broker may forget them."""
        wait_until(lambda: all(one.acknowledged for one in sent) or self.pipeline.failed, "acknowledgements")
        assert not self.pipeline.failed

    def rows(self) -> list[dict[str, Any]]:
        """Inspections in the order of their rows."""
        return [dict(row) for row in self.rooms.rows("inspection")]

    def by_frame(self) -> dict[str, dict[str, Any]]:
        """Inspections by frame id."""
        return {row["frame_id"]: row for row in self.rows()}

    def events(self) -> list[str]:
        """Kinds of the events so far."""
        return [event["kind"] for event in self.rooms.rows("event")]


def frame(
    seed: int,
    camera: Camera = CAMERA,
    *,
    sku: str | None = "A",
    named: bool = True,
    on_acknowledge: Callable[[], None] | None = None,
) -> Sent:
    """An image of a good part from a camera; ``seed`` gives the image and its id ``f-SEED``."""
    frame_id = f"f-{seed}" if named else None
    return message(
        DeliveryKind.FRAME,
        encoded(part(seed)),
        camera,
        on_acknowledge=on_acknowledge,
        sku=sku,
        frame_id=frame_id,
    )
