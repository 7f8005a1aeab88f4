"""Observability: metrics, health pages and the systemd watchdog of one agent."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from adapters.mqtt.messages import SINK as MQTT
from adapters.mqtt.transport import MqttTransport
from adapters.observability.cached_probe import CachedProbe
from adapters.observability.collector import registry_of
from adapters.observability.health import Health
from adapters.observability.health_source import (
    BrokerState,
    DiskState,
    HealthSource,
    OutboxState,
    StorageWork,
    outbox_states,
)
from adapters.observability.machine import disk
from adapters.observability.server import Answers, MetricsServer
from adapters.observability.watchdog import Notifier, WatchdogNotifier
from agent import __version__
from agent.app.store import Store
from agent.domain.errors import ModelError, RecipeError
from agent.inference.inspector import Inspector
from agent.monitors.disk_space import DiskPolicy
from agent.pipeline import Pipeline
from agent.ports.disk import Space
from agent.ports.health import PipelineState
from agent.recipes.warm_up import WarmUp
from agent.telemetry import Counters, Measures
from config import Settings

logger = logging.getLogger(__name__)


class Observability:
    """Opened before every other part, so that a port in use is reported before a frame comes."""

    def __init__(self, settings: Settings, store: Store, inspector: Inspector, counters: Counters) -> None:
        self.measures = Measures()
        self._settings = settings
        self._store = store
        self._inspector = inspector
        self._pipeline: Pipeline | None = None
        self._transport: MqttTransport | None = None
        self._warm_up: WarmUp | None = None
        self._server: MetricsServer | None = None
        self.health = Health(self._health_source(counters))
        self._answers = Answers(registry_of(self.health.source, self.health), self.health, self._info())
        self._watchdog = WatchdogNotifier(Notifier(), self.health)

    @property
    def url(self) -> str | None:
        """Where metrics are served; None if they are off."""
        return None if self._server is None else self._server.url

    def open(self) -> None:
        """Serve from now on; until the start, pages report that nothing runs. Raises ConfigurationError."""
        metrics = self._settings.metrics
        if metrics.enabled:
            self._server = MetricsServer(metrics.host, metrics.port, self._answers)
            self._server.start()
            logger.info("metrics: %s/metrics, beside it /healthz and /readyz", self._server.url)

    def started(self, pipeline: Pipeline, transport: MqttTransport, warm_up: WarmUp) -> None:
        """The pipeline takes frames: report it to systemd and serve its state."""
        self._pipeline, self._transport, self._warm_up = pipeline, transport, warm_up
        self._watchdog.start()

    def stopping(self) -> None:
        """The agent stops in order. Its pages answer until :meth:`close`."""
        self._watchdog.stopping()

    def close(self) -> None:
        self._watchdog.stop()
        if self._server is not None:
            self._server.close()

    def _health_source(self, counters: Counters) -> HealthSource:
        return HealthSource(
            info=self._info(),
            counters=counters,
            measures=self.measures,
            pipeline=self._pipeline_state,
            broker=self._broker_state,
            outbox=CachedProbe("the database", self._outbox_states),
            disks=CachedProbe("the file system", self._disks),
            database_file=self._store.database.path,
            storage_work=lambda: StorageWork(self._store.database.commits, self._store.media.syncs),
            models=self._missing_models,
            recipes=self._unprepared_recipes,
            hang_after_s=self._settings.agent.hang_after.total_seconds() or math.inf,
        )

    def _info(self) -> dict[str, str]:
        settings = self._settings
        return {
            "agent": settings.agent.id,
            "site": settings.agent.site,
            "version": __version__,
            "profile": settings.agent.profile,
            "method": settings.inspection.method,
        }

    def _pipeline_state(self) -> PipelineState | None:
        return None if self._pipeline is None else self._pipeline.state()

    def _broker_state(self) -> BrokerState | None:
        transport = self._transport
        if transport is None:
            return None
        refused = dict(transport.refused)
        state = self._pipeline_state()
        for sink in state.sinks if state is not None else ():
            if sink.name == MQTT:
                refused |= sink.refused
        return BrokerState(transport.connected, transport.last_error, transport.unacknowledged, refused)

    def _outbox_states(self) -> Mapping[str, OutboxState]:
        return outbox_states(self._store.outbox.backlog())

    def _disks(self) -> Sequence[DiskState]:
        folders = {"media": self._settings.media.path}
        if self._store.database.path is not None:
            folders["database"] = self._store.database.path.parent
        policy = DiskPolicy(self._settings.media.reserve)
        found = [disk(name, path) for name, path in folders.items()]
        return [replace(one, reserve=policy.reserve_of(Space(one.name, one.size, one.free))) for one in found]

    def _unprepared_recipes(self) -> str | None:
        return "not started yet" if self._warm_up is None else self._warm_up.left

    def _missing_models(self) -> str | None:
        try:
            self._inspector.method  # noqa: B018 - built with the agent; raises what kept it from being built
        except (ModelError, RecipeError) as error:
            return str(error)
        return None
