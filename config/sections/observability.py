"""``MetricsSettings`` and ``LoggingSettings``: metrics, health, and the log."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from config.sections.base import Section


class MetricsSettings(Section):
    """Prometheus metrics and health."""

    enabled: bool = Field(
        True,
        title="Serve metrics",
        description="Whether the port is opened. Without it there is no /healthz either.",
    )
    host: str = Field(
        "127.0.0.1",
        title="Address",
        min_length=1,
        description="0.0.0.0 opens it to the network; everybody who reaches it may read it.",
    )
    port: int = Field(
        9464,
        title="Port",
        ge=0,
        le=65_535,
        description="Each agent on a machine needs its own; 0: any free one.",
    )


class LoggingSettings(Section):
    """The log on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        title="Level",
        description="The lowest level that is logged; DEBUG has a line for every frame that passed.",
    )
    format: Literal["text", "json"] = Field(
        "text", title="Format", description="text for people, json (one object a line) for collectors."
    )

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value
