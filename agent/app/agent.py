"""Agent: the embedded broker if there is one, transport, pipeline, and the history that they share."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from adapters.images.camera_depths import CameraDepths
from adapters.images.codec import CvImageCodec
from adapters.images.decoder import PayloadDecoder
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.messages import JsonCommandParser, MqttMessageComposer, MqttReplier
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from adapters.recipes.codec import RecipeYaml
from adapters.scheduling import BackgroundSchedule
from adapters.webhook.sink import configured_webhooks
from agent import __version__
from agent.app.broker import broker_options, topics_of
from agent.app.models import kept_memories
from agent.app.neighbours import Neighbours
from agent.app.observability import Observability
from agent.app.options import (
    calibration_policy,
    camera_rules,
    decode_worker,
    decoder_limits,
    default_tiling,
    keep,
    onboarding_options,
    orientation_policy,
    pipeline_options,
    selection_policy,
    stated_bits,
)
from agent.app.store import Store
from agent.domain.errors import StorageError, TransportError
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.monitors.camera_timeout import CHECK_EVERY_S
from agent.monitors.disk_space import DiskParts, DiskPolicy, DiskSpaceMonitor
from agent.monitors.refused_topics import RefusedTopics
from agent.monitors.retention import EVERY_S, FIRST_AFTER_S, RetentionTask
from agent.onboarding import OnboardingContext, OnboardingCoordinator
from agent.pipeline import Pipeline, PipelineParts
from agent.ports import PromptWriter, Sink, Tagger
from agent.recipes.active_versions import LOOK_EVERY_S, ActiveVersions
from agent.recipes.cache import RecipeCache
from agent.recipes.commands import Commands
from agent.recipes.import_export import RecipeTransfer
from agent.recipes.warm_up import WarmUp
from agent.telemetry import Counters
from agent.threads import run_with_timeout
from config import Settings, contradictions, open_secrets

if TYPE_CHECKING:
    from adapters.mqtt.embedded_broker import EmbeddedBroker

logger = logging.getLogger(__name__)

STATUS_EVERY_S = 5.0
"""How often to look whether the broker takes the agent's status."""
OTHERS_EVERY_S = 1.0
"""How often to look whether the status is on the broker, until other agents can be looked for."""
SCHEDULE_S = 5.0
"""How long the end waits for a task that runs beside the pipeline."""


class Agent:
    """The agent of one configuration: built from settings, started, stopped."""

    def __init__(self, settings: Settings, inspector: Inspector, store: Store) -> None:
        self._settings = settings
        self._inspector = inspector
        self.store = store
        self.counters = Counters()
        self._schedule = BackgroundSchedule(self.counters)
        self.observability = Observability(settings, store, inspector, self.counters)
        self._images = decode_worker(settings, self.counters)
        self._webhooks = configured_webhooks(settings)
        self._broker: EmbeddedBroker | None = None
        self._url = settings.broker.url
        self._transport: MqttTransport | None = None
        self._pipeline: Pipeline | None = None
        self._retention: RetentionTask | None = None
        self._warm_up: WarmUp | None = None
        self._versions: ActiveVersions | None = None
        self.disk: DiskSpaceMonitor | None = None
        self.neighbours: Neighbours | None = None
        self._stuck = False
        self._identity: str | None = None
        self._refused_status: frozenset[str] = frozenset()
        inspector.counters = self.counters

    def start(self) -> None:
        """Start an embedded broker, then the pipeline; returns once the agent takes frames.

        Raises SightlineError if something is missing; waits for a broker that is away.
        """
        settings, store = self._settings, self.store
        for sentence in (*open_secrets(settings), *contradictions(settings)):
            logger.warning("%s", sentence)
        self.observability.open()
        if self._images is not None:
            self._images.start()
        if settings.broker.embedded:
            from adapters.mqtt.embedded_broker import EmbeddedBroker

            self._broker = EmbeddedBroker(port=settings.broker.port)
            self._broker.start()
            self._url = self._broker.url
        self._identity = store.identity
        topics = topics_of(settings)
        transport = self._transport = MqttTransport(
            broker_options(settings, self._url), topics, status=self._status, counters=self.counters
        )
        mqtt = MqttSink(transport, MqttMessageComposer(topics, __version__, self.counters))
        sinks: tuple[Sink, ...] = (mqtt, *self._webhooks)
        events = EventLog(store.history, sinks, self.counters, direct=(mqtt,))
        transport.report_topics_to(RefusedTopics(events))
        self._retention = RetentionTask(store.retention, events, keep(settings), self.counters)
        parts = self._parts(transport, topics, sinks, events)
        self._pipeline = Pipeline(parts, pipeline_options(settings))
        self._warm_up = WarmUp(parts.recipe_cache, store.samples)
        self._versions = ActiveVersions(store.book, parts.recipe_cache, events, settings.agent.id)
        self.disk = self._disk_monitor(topics, events)
        self.disk.start()
        self._versions.start()
        self._pipeline.start()
        self._warm_up.start()
        self._schedule.every("active versions", LOOK_EVERY_S, self._versions.look)
        self._plan_tasks(transport, self._pipeline, self._retention, events)
        self._report_owed(sinks, events)
        self._schedule.start()
        self.observability.started(self._pipeline, transport, self._warm_up)

    def _report_owed(self, sinks: tuple[Sink, ...], events: EventLog) -> None:
        """Report messages of a sink that is not configured any more: they wait for ever."""
        try:
            backlog = self.store.outbox.backlog()
        except StorageError as error:
            logger.warning("what the outbox owes cannot be read: %s", error)
            return
        for name in sorted(set(backlog) - {sink.name for sink in sinks}):
            message = (
                f"{backlog[name][0]} messages wait for {name}, which is not configured any more; configure "
                "it again, or delete its rows from the table outbox"
            )
            events.report(Event("sink-unknown", message, datetime.now(UTC), severity="warning"))

    def _plan_tasks(
        self, transport: MqttTransport, pipeline: Pipeline, retention: RetentionTask, events: EventLog
    ) -> None:
        """Schedule the tasks beside the pipeline, periodic and single; onboarding schedules its own."""
        settings, schedule = self._settings, self._schedule
        heartbeat_s = settings.agent.heartbeat.total_seconds()
        if heartbeat_s:
            schedule.every("heartbeat", heartbeat_s, lambda: _beat(transport))
        schedule.every(
            "refused status", STATUS_EVERY_S, lambda: self._report_refused_status(transport, events)
        )
        if self._broker is None:  # otherwise nobody was there before
            self.neighbours = Neighbours(settings, self.store, transport, events)
            schedule.every("other agents", OTHERS_EVERY_S, self.neighbours.look)
        schedule.every("silent cameras", CHECK_EVERY_S, pipeline.check_cameras)
        schedule.every("retention", EVERY_S, retention)
        # An agent that is restarted more often than every period has to prune too.
        schedule.later("retention after the start", FIRST_AFTER_S, retention)

    def _report_refused_status(self, transport: MqttTransport, events: EventLog) -> None:
        """Report once that nobody can see whether this agent runs."""
        refused = transport.refused
        for topic in set(refused) - self._refused_status:
            message = f"the status for {topic} was refused: {refused[topic]}"
            events.report(Event("publish-refused", message, datetime.now(UTC), severity="warning"))
        self._refused_status = frozenset(refused)

    def stop(self) -> None:
        """Drain, publish ``stopped``, then close every part, whatever the one before it raises."""
        with ExitStack() as rest:  # closed from the last to the first
            rest.callback(self.store.close)
            rest.callback(self.observability.close)
            if self._broker is not None:
                rest.callback(self._broker.stop)
            if self._images is not None:
                rest.callback(self._images.close)
            if self._pipeline is not None:
                rest.callback(self._pipeline.stop)
            self.observability.stopping()
            if self._warm_up is not None:
                self._warm_up.close()
            if self._versions is not None:
                self._versions.stop()
            if self._retention is not None:
                self._retention.stop()
            if self.disk is not None:
                self.disk.stop()
            self._stuck = not run_with_timeout(SCHEDULE_S, self._schedule.stop, "the schedule")

    def wait(self, timeout_s: float) -> bool:
        """True as soon as the pipeline has given up and the agent should end with an error."""
        return self._pipeline is not None and self._pipeline.wait(timeout_s)

    @property
    def stuck(self) -> bool:
        """After :meth:`stop`: whether a thread hangs, so that the process will not end by itself."""
        return self._stuck or (self._pipeline is not None and self._pipeline.stuck)

    @property
    def broker_url(self) -> str:
        """The broker that cameras publish to."""
        return self._url

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the agent."""
        return self._transport is not None and self._transport.connected

    @property
    def description(self) -> Mapping[str, str]:
        """What this agent is made of, without any secret."""
        settings = self._settings
        return {
            "version": __version__,
            "profile": settings.agent.profile,
            "broker": self._url,
            "database": str(self.store.database),
            "method": settings.inspection.method,
            "model": settings.models.clip,
            "backbone": settings.inspection.backbone,
            "device": settings.models.device,
        }

    def _parts(
        self, transport: MqttTransport, topics: Topics, sinks: tuple[Sink, ...], events: EventLog
    ) -> PipelineParts:
        settings, store = self._settings, self.store
        codec = CvImageCodec(settings.frames.max_pixels, self._images)
        method = settings.inspection.method
        recipe_cache = RecipeCache(
            store.book,
            self._inspector,
            store.media,
            codec,
            method=method,
            rules=camera_rules(settings),
            policy=calibration_policy(settings),
            kept=kept_memories(settings),
        )
        return PipelineParts(
            transport=transport,
            decoder=PayloadDecoder(
                decoder_limits(settings), self._images, self.counters, self._camera_depths(events)
            ),
            parser=JsonMessageParser(),
            history=store.history,
            outbox=store.outbox,
            media=store.media,
            codec=codec,
            sinks=sinks,
            events=events,
            inspector=self._inspector,
            recipe_cache=recipe_cache,
            onboarding=self._onboarding(recipe_cache, events),
            counters=self.counters,
            agent=_itself(topics),
            measures=self.observability.measures,
            commands=Commands(
                JsonCommandParser(),
                MqttReplier(topics, __version__, self.counters),
                store.book,
                RecipeTransfer(store.book, store.media, RecipeYaml(), codec),
                events,
                store.samples,
                self.counters,
            ),
        )

    def _camera_depths(self, events: EventLog) -> CameraDepths:
        """With what was found before the last stop: a dark first frame does not begin another scale."""
        stated = stated_bits(self._settings)
        found = self.store.camera_bits()
        seen = {camera: bits for camera, bits in found.items() if camera.partition("/")[2] not in stated}
        return CameraDepths(stated, seen=seen, events=events, counters=self.counters)

    def _disk_monitor(self, topics: Topics, events: EventLog) -> DiskSpaceMonitor:
        store = self.store
        parts = DiskParts(
            disks=store.disks,
            retention=store.retention,
            events=events,
            schedule=self._schedule,
            counters=self.counters,
            agent=_itself(topics),
        )
        monitor = DiskSpaceMonitor(parts, DiskPolicy(self._settings.media.reserve))
        store.on_full(monitor.refused)
        return monitor

    def _onboarding(self, recipe_cache: RecipeCache, events: EventLog) -> OnboardingCoordinator:
        settings, store = self._settings, self.store
        context = OnboardingContext(
            book=store.book,
            claims=store.claims,
            recipe_cache=recipe_cache,
            inspector=self._inspector,
            events=events,
            samples=store.samples,
            policy=calibration_policy(settings),
            selection=selection_policy(settings),
            agent=settings.agent.id,
            options=onboarding_options(settings),
            orientation=orientation_policy(settings),
            rules=camera_rules(settings),
            tiling=default_tiling(settings),
        )
        writer: PromptWriter | None = None
        tagger: Tagger | None = None
        if settings.ollama.enabled:
            from adapters.ollama import OllamaOptions, OllamaTagger, OllamaWriter

            options = OllamaOptions.of(settings.ollama, lease_s=settings.onboarding.lease.total_seconds())
            writer = OllamaWriter(options)
            tagger = OllamaTagger(options) if settings.ollama.vision_model else None
        return OnboardingCoordinator(context, self._schedule, writer=writer, tagger=tagger)

    def _status(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "version": __version__,
            "models": {"clip": settings.models.clip, "backbone": settings.inspection.backbone},
            "cameras": sorted(settings.cameras),
            "host": platform.node(),
            "history": self._identity,
            "frames": topics_of(settings).frames,
        }


def _itself(topics: Topics) -> Camera:
    """``SITE/sightline/AGENT``: the camera that alerts about the agent itself carry."""
    return Camera(topics.site, "sightline", topics.agent)


def _beat(transport: MqttTransport) -> None:
    """Publish the retained status again; its time shows when the agent was last alive."""
    try:
        transport.announce_presence()
    except TransportError as error:
        logger.debug("the heartbeat waits for the connection: %s", error)
