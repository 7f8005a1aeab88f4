"""``Settings``: the configuration as a whole."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator

from agent.domain.limits import FEWEST_RESTARTS
from agent.domain.regions import Regions
from config.sections.alerts import AlertSettings
from config.sections.base import CAMERA_NAME, Matching, Section
from config.sections.broker import BrokerSettings, TopicSettings
from config.sections.drift import DriftSettings
from config.sections.history import DatabaseSettings, MediaSettings
from config.sections.inspection import (
    CameraSettings,
    FramesSettings,
    InspectionSettings,
    ModelsSettings,
    Overload,
)
from config.sections.observability import LoggingSettings, MetricsSettings
from config.sections.ollama import OllamaSettings
from config.sections.onboarding import OnboardingSettings
from config.sections.references import ReferencesSettings
from config.sections.units import Duration
from config.sections.webhooks import WebhookSettings

TopicLevel = Annotated[
    str,
    Matching(
        r"[^/+#$\s{}\x00-\x1f\x7f]{1,64}",
        "one level of a topic: 1 to 64 characters, no space and none of / + # $ { }",
    ),
]

_WEBHOOK = re.compile(r"[A-Za-z0-9_-]{1,32}")
_CAMERA = re.compile(CAMERA_NAME)


def id_of_host(name: str) -> str:
    """The default id of an agent on a host: its name up to the first dot, as one level of a topic.

    >>> id_of_host("Cell-8.plant.example")
    'cell-8'
    """
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name.partition(".")[0])
    return name.strip("-").lower()[:64] or "sightline"


class AgentSettings(Section):
    """Who this agent is."""

    id: TopicLevel = Field(
        default_factory=lambda: id_of_host(socket.gethostname()),
        title="Id",
        description="Unique in the site and stable: it names the broker session. By default the host's name "
        "up to its first dot; cell-7 if an older version wrote this SQLite history under that default.",
        json_schema_extra={"default": "the host's name"},
    )
    site: Annotated[
        str,
        Matching(
            r"[^/+#$\x00-\x1f\x7f-\x9f][^/+#\x00-\x1f\x7f-\x9f]{0,63}",
            "one level of a topic: 1 to 64 characters, none of / + #, and no $ at its beginning",
        ),
    ] = Field("factory", title="Site", description="First level of every topic.")
    profile: str = Field(
        "embedded",
        title="Profile",
        min_length=1,
        description="Defaults to start from: a name or a YAML file.",
    )
    shadow: bool = Field(
        False, title="Shadow mode", description="Inspect and record everything, send no alert."
    )
    heartbeat: Duration = Field(
        timedelta(minutes=1),
        title="Heartbeat",
        description="How often the retained status is published again, with its time. 0: never.",
    )
    restarts: int = Field(
        5,
        title="Restarts",
        ge=FEWEST_RESTARTS,
        description="Stages of the agent that died are started again, so many times within restart_window. "
        "Beyond that the agent ends with an error, for systemd to start it again.",
    )
    restart_window: Duration = Field(
        timedelta(minutes=1), title="Window of restarts", description="What restarts are counted within."
    )
    hang_after: Duration = Field(
        timedelta(minutes=5),
        title="Hanging after",
        description="A stage that works longer on one item hangs: the agent ends with an error. "
        "Waiting for the database or the disk does not count. 0: never.",
    )


class Settings(Section):
    """All of Sightline's configuration; every key has a default."""

    agent: AgentSettings = Field(
        default_factory=AgentSettings, title="Agent", description="Who this agent is."
    )
    broker: BrokerSettings = Field(
        default_factory=BrokerSettings, title="Broker", description="The MQTT broker and how to log in."
    )
    topics: TopicSettings = Field(
        default_factory=TopicSettings, title="Topics", description="Templates of the topics."
    )
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, title="Database", description="The inspection history."
    )
    media: MediaSettings = Field(
        default_factory=MediaSettings, title="Media", description="Frames, masks and overlays."
    )
    ollama: OllamaSettings = Field(
        default_factory=OllamaSettings, title="Ollama", description="Who writes prompts for a new SKU."
    )
    onboarding: OnboardingSettings = Field(
        default_factory=OnboardingSettings,
        title="Onboarding",
        description="How the recipe of a new product is written.",
    )
    references: ReferencesSettings = Field(
        default_factory=ReferencesSettings, title="References", description="Images of good parts."
    )
    drift: DriftSettings = Field(
        default_factory=DriftSettings, title="Drift", description="When slowly changing scores alert."
    )
    alerts: AlertSettings = Field(
        default_factory=AlertSettings,
        title="Alerts",
        description="Alerts beside those of failed parts: lost frames, silent cameras, bursts.",
    )
    webhooks: dict[str, WebhookSettings] = Field(
        default_factory=dict,
        title="Webhooks",
        description="Where verdicts and alerts are posted to, by a NAME for each URL.",
    )
    inspection: InspectionSettings = Field(
        default_factory=InspectionSettings, title="Inspection", description="How frames are judged."
    )
    cameras: dict[str, CameraSettings] = Field(
        default_factory=dict, title="Cameras", description="What differs for one camera, by LINE/CAMERA."
    )
    models: ModelsSettings = Field(
        default_factory=ModelsSettings, title="Models", description="Weights and device."
    )
    frames: FramesSettings = Field(
        default_factory=FramesSettings, title="Frames", description="What a frame may be."
    )
    metrics: MetricsSettings = Field(
        default_factory=MetricsSettings, title="Metrics", description="Prometheus metrics and health."
    )
    logging: LoggingSettings = Field(default_factory=LoggingSettings, title="Logging", description="The log.")

    @field_validator("cameras")
    @classmethod
    def _camera_names(cls, cameras: dict[str, CameraSettings]) -> dict[str, CameraSettings]:
        for name in cameras:
            if not _CAMERA.fullmatch(name):
                raise ValueError("has a name that is not LINE/CAMERA")
        return cameras

    @field_validator("webhooks")
    @classmethod
    def _webhook_names(cls, webhooks: dict[str, WebhookSettings]) -> dict[str, WebhookSettings]:
        for name in webhooks:
            if not _WEBHOOK.fullmatch(name):
                raise ValueError("has a name that is not 1 to 32 letters, digits, - or _")
        return webhooks

    @property
    def client_id(self) -> str:
        """The MQTT client id in force."""
        return self.broker.client_id or f"sightline-{self.agent.id}"

    def overload(self, line: str, camera: str) -> Overload:
        """What to do with frames of this camera that come too fast."""
        return self._camera(line, camera).overload or self.inspection.overload

    def cycle_time_ms(self, line: str, camera: str) -> float | None:
        """How late a verdict of this camera may be; None: any time."""
        own = self._camera(line, camera).cycle_time_ms
        return self.inspection.cycle_time_ms if own is None else own

    def shadow(self, line: str, camera: str) -> bool:
        """Whether this camera is inspected without alerts."""
        own = self._camera(line, camera).shadow
        return self.agent.shadow if own is None else own

    def silent_after(self, line: str, camera: str) -> timedelta:
        """How long this camera may send nothing before that is reported; 0: for ever."""
        own = self._camera(line, camera).silent_after
        return self.alerts.silent_after if own is None else own

    def regions(self, line: str, camera: str) -> Regions:
        """What is inspected of this camera's frames, whatever they show."""
        return self._camera(line, camera).regions.regions()

    def _camera(self, line: str, camera: str) -> CameraSettings:
        return self.cameras.get(f"{line}/{camera}") or CameraSettings()
