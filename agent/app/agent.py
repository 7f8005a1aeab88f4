"""The agent: broker where it is embedded, transport, line, and the history they share."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from adapters.images.codec import CvImageCodec
from adapters.images.decoder import PayloadDecoder
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.embedded_broker import EmbeddedBroker
from adapters.mqtt.messages import JsonCommandParser, MqttMessageComposer, MqttReplier
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from adapters.ollama import OllamaOptions, OllamaTagger, OllamaWriter, look
from adapters.recipes.codec import RecipeYaml
from adapters.scheduling import BackgroundSchedule
from agent import __version__
from agent.app.options import (
    broker_options,
    decode_worker,
    decoder_limits,
    line_options,
    onboarding_options,
    policy_of,
    pose_policy,
    selection_policy,
    topics_of,
)
from agent.app.outside import Observability
from agent.app.store import Store
from agent.domain.errors import TransportError
from agent.domain.frame import Camera
from agent.inference.inspector import Inspector
from agent.monitors.disk_space import DiskParts, DiskPolicy, DiskSpaceMonitor
from agent.monitors.retention import EVERY_S, FIRST_AFTER_S, Keep, RetentionTask
from agent.onboarding import OnboardingContext, OnboardingCoordinator
from agent.pipeline import CHECK_EVERY_S, Pipeline, PipelineParts
from agent.ports import PromptWriter, Tagger
from agent.recipes.cache import RecipeCache
from agent.recipes.commands import Commands
from agent.recipes.import_export import RecipeImporter
from agent.telemetry import Counters
from agent.threads import run_with_timeout
from config import Settings, open_secrets
from config.sections.ollama import OllamaSettings

logger = logging.getLogger(__name__)

SCHEDULE_S = 5.0
"""How long the end waits for a task that runs beside the line."""


class Agent:
    """The agent of one configuration; see :class:`adapters.cli.composition.RunningAgent`."""

    def __init__(self, settings: Settings, inspector: Inspector, store: Store) -> None:
        self._settings = settings
        self._inspector = inspector
        self.store = store
        self.counters = Counters()
        self._schedule = BackgroundSchedule(self.counters)
        self._retention = RetentionTask(store.retention, store.history, Keep.of(settings), self.counters)
        self.disk: DiskSpaceMonitor | None = None
        self.outside = Observability(settings, store, inspector, self.counters)
        self._images = decode_worker(settings, self.counters)
        self._broker: EmbeddedBroker | None = None
        self._url = settings.broker.url
        self._transport: MqttTransport | None = None
        self._line: Pipeline | None = None
        self._stuck = False
        inspector.counters = self.counters

    def start(self) -> None:
        """Start the broker where it is embedded, then the line."""
        settings = self._settings
        for sentence in open_secrets(settings):
            logger.warning("%s", sentence)
        self.outside.open()
        if self._images is not None:
            self._images.start()
        if settings.broker.embedded:
            self._broker = EmbeddedBroker(port=settings.broker.port)
            self._broker.start()
            self._url = self._broker.url
        topics = topics_of(settings)
        self._transport = MqttTransport(
            broker_options(settings, self._url), topics, status=self._status, counters=self.counters
        )
        self._line = Pipeline(self._parts(self._transport, topics), line_options(settings))
        self.disk = self._disk_watch(self._transport, topics)
        self.disk.start()
        self._line.start()
        self._plan_tasks(self._transport)
        self._schedule.every("retention", EVERY_S, self._retention)
        # An agent that is started anew more often than that prunes as well.
        self._schedule.later("retention after the start", FIRST_AFTER_S, self._retention)
        self._schedule.start()
        self.outside.started(self._line, self._transport)

    def _plan_tasks(self, transport: MqttTransport) -> None:
        """What is periodic or done once beside the line; onboarding plans its own."""
        settings, schedule = self._settings, self._schedule
        heartbeat_s = settings.agent.heartbeat.total_seconds()
        if heartbeat_s:
            schedule.every("heartbeat", heartbeat_s, lambda: _beat(transport))
        if self._line is not None:
            schedule.every("silent cameras", CHECK_EVERY_S, self._line.check_silence)
        if settings.ollama.enabled:
            schedule.later("language model", 0.0, lambda: _look_for_words(settings.ollama))

    def stop(self) -> None:
        """Drain, say ``stopped``, close everything: each part, whatever the one before it raises."""
        with ExitStack() as rest:  # done from the last to the first
            rest.callback(self.store.close)
            rest.callback(self.outside.close)
            if self._broker is not None:
                rest.callback(self._broker.stop)
            if self._images is not None:
                rest.callback(self._images.close)
            if self._line is not None:
                rest.callback(self._line.stop)
            self.outside.stopping()
            self._retention.stop()
            if self.disk is not None:
                self.disk.stop()
            self._stuck = not run_with_timeout(SCHEDULE_S, self._schedule.stop, "the schedule")

    def wait(self, timeout_s: float) -> bool:
        """True as soon as the line has given up."""
        return self._line is not None and self._line.wait(timeout_s)

    @property
    def stuck(self) -> bool:
        """After :meth:`stop`: whether a thread hangs, so that the process will not end by itself."""
        return self._stuck or (self._line is not None and self._line.stuck)

    @property
    def broker_url(self) -> str:
        """Where cameras publish to."""
        return self._url

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the agent."""
        return self._transport is not None and self._transport.connected

    @property
    def description(self) -> Mapping[str, str]:
        """What runs here, without any secret."""
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

    def _parts(self, transport: MqttTransport, topics: Topics) -> PipelineParts:
        settings, store = self._settings, self.store
        codec = CvImageCodec(settings.frames.max_pixels, self._images)
        method = settings.inspection.method
        cabinet = RecipeCache(store.book, self._inspector, store.media, codec, method=method)
        return PipelineParts(
            transport=transport,
            decoder=PayloadDecoder(decoder_limits(settings), self._images, self.counters),
            parser=JsonMessageParser(),
            history=store.history,
            outbox=store.outbox,
            media=store.media,
            codec=codec,
            announcer=MqttMessageComposer(topics, __version__, self.counters),
            inspector=self._inspector,
            cabinet=cabinet,
            onboarding=self._onboarding(cabinet),
            counters=self.counters,
            measures=self.outside.measures,
            commands=Commands(
                JsonCommandParser(),
                MqttReplier(topics, __version__, self.counters),
                store.book,
                RecipeImporter(store.book, store.media, RecipeYaml(), codec),
                store.history,
                store.samples,
                self.counters,
            ),
        )

    def _disk_watch(self, transport: MqttTransport, topics: Topics) -> DiskSpaceMonitor:
        store = self.store
        parts = DiskParts(
            disks=store.disks,
            retention=store.retention,
            history=store.history,
            publisher=transport,
            announcer=MqttMessageComposer(topics, __version__, self.counters),
            schedule=self._schedule,
            counters=self.counters,
            agent=Camera(topics.site, "sightline", topics.agent),
        )
        watch = DiskSpaceMonitor(parts, DiskPolicy(self._settings.media.reserve))
        store.on_full(watch.refused)
        return watch

    def _onboarding(self, cabinet: RecipeCache) -> OnboardingCoordinator:
        settings, store = self._settings, self.store
        office = OnboardingContext(
            book=store.book,
            desk=store.desk,
            cabinet=cabinet,
            inspector=self._inspector,
            history=store.history,
            samples=store.samples,
            policy=policy_of(settings),
            selection=selection_policy(settings),
            agent=settings.agent.id,
            options=onboarding_options(settings),
            pose=pose_policy(settings),
        )
        writer: PromptWriter | None = None
        tagger: Tagger | None = None
        if settings.ollama.enabled:
            options = OllamaOptions.of(settings.ollama)
            writer = OllamaWriter(options)
            tagger = OllamaTagger(options) if settings.ollama.vision_model else None
        return OnboardingCoordinator(office, self._schedule, writer=writer, tagger=tagger)

    def _status(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "version": __version__,
            "models": {"clip": settings.models.clip, "backbone": settings.inspection.backbone},
            "cameras": sorted(settings.cameras),
            "host": platform.node(),
        }


def _beat(transport: MqttTransport) -> None:
    """The retained status again, so that its time tells when the agent was last alive."""
    try:
        transport.announce_presence()
    except TransportError as error:
        logger.debug("the heartbeat waits for the connection: %s", error)


def _look_for_words(settings: OllamaSettings) -> None:
    """Say once in the log whether somebody can write prompts, and if not what mends it."""
    health = look(OllamaOptions.of(settings))
    if health.ready:
        logger.info("%s; it writes prompts for new products", health.sentence)
    else:
        level = logging.WARNING if settings.enabled is True else logging.INFO
        logger.log(level, "%s; prompts of new products are the template's until then", health.sentence)
