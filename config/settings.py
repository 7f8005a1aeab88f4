"""The configuration as a whole."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from config.broker import BrokerSettings, TopicSettings
from config.drift import DriftSettings
from config.history import DatabaseSettings, MediaSettings
from config.inspection import CameraSettings, FramesSettings, InspectionSettings, ModelsSettings, Overload
from config.ollama import OllamaSettings
from config.onboarding import OnboardingSettings
from config.references import ReferencesSettings
from config.section import Matching, Section
from config.units import Duration

TopicLevel = Annotated[
    str,
    Matching(
        r"[^/+#$\s{}]{1,64}", "one level of a topic: 1 to 64 characters, no space and none of / + # $ { }"
    ),
]

_CAMERA = re.compile(r"[^/+#$\s{}]+/[^/+#$\s{}]+")


class AgentSettings(Section):
    """Who this agent is."""

    id: TopicLevel = Field(
        "cell-7", title="Id", description="Unique in the site and stable: it names the broker session."
    )
    site: TopicLevel = Field("factory", title="Site", description="First level of every topic.")
    profile: str = Field(
        "embedded",
        title="Profile",
        min_length=1,
        description="Defaults to start from: a name or a YAML file.",
    )
    shadow: bool = Field(
        False, title="Shadow mode", description="Inspect and record everything, alarm about nothing."
    )
    heartbeat: Duration = Field(
        timedelta(minutes=1),
        title="Heartbeat",
        description="How often the retained status is published again, with its time. 0: never.",
    )


class MetricsSettings(Section):
    """Prometheus metrics and health."""

    enabled: bool = Field(True, title="Serve metrics", description="Whether the port is opened at all.")
    host: str = Field("127.0.0.1", title="Address", description="0.0.0.0 opens it to the network.")
    port: int = Field(9464, title="Port", ge=0, le=65_535, description="0: any free one.")


class LoggingSettings(Section):
    """What the agent says on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", title="Level", description="The least that is said."
    )
    format: Literal["text", "json"] = Field(
        "text", title="Format", description="text for people, json (one object a line) for collectors."
    )

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


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
        default_factory=ReferencesSettings, title="References", description="Photographs of good parts."
    )
    drift: DriftSettings = Field(
        default_factory=DriftSettings, title="Drift", description="When slowly changing scores alert."
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
    logging: LoggingSettings = Field(
        default_factory=LoggingSettings, title="Logging", description="What the agent says."
    )

    @field_validator("cameras")
    @classmethod
    def _camera_names(cls, cameras: dict[str, CameraSettings]) -> dict[str, CameraSettings]:
        for name in cameras:
            if not _CAMERA.fullmatch(name):
                raise ValueError("has a name that is not LINE/CAMERA")
        return cameras

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
        """Whether this camera is inspected without alarms."""
        own = self._camera(line, camera).shadow
        return self.agent.shadow if own is None else own

    def _camera(self, line: str, camera: str) -> CameraSettings:
        return self.cameras.get(f"{line}/{camera}") or CameraSettings()
