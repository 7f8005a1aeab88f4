"""PipelineState, StageState and SinkState: the pipeline as metrics and health checks see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageState:
    """One stage: decode, inspect, record, or the publisher of a sink."""

    name: str
    alive: bool
    """Whether its thread runs. False before the start, after the end, and while a dead one is restarted."""
    restarts: int
    """How often it was restarted since the start."""
    busy_s: float | None
    """Seconds at its present piece of work; None if it has none, or waits for storage."""


@dataclass(frozen=True, slots=True)
class SinkState:
    """One output."""

    name: str
    parked: str | None
    """Why its receiver is given up for now; None while it is served."""
    sent: int = 0
    """Messages since the start that the receiver acknowledged."""
    postponed: int = 0
    """Attempts that failed for lack of a connection."""
    undeliverable: int = 0
    """Messages that were given up, each with an event."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Destinations that took no message since they refused one, each with the reason."""


@dataclass(frozen=True, slots=True)
class PipelineState:
    """All stages and what lies between them."""

    stages: tuple[StageState, ...]
    waiting: int
    """Deliveries that wait to be decoded."""
    oldest_wait_s: float | None
    """Seconds since the oldest of them was received; None if none waits."""
    decoded: int
    """Decoded frames that wait to be inspected."""
    inspected: int
    """Inspected frames that wait to be recorded."""
    superseded: int
    """Frames that a newer one replaced and whose rows are still to be written."""
    in_flight: int
    """Frames that were admitted and have no row yet."""
    failed: bool
    """Whether the pipeline gave up and the agent ends so that it is started anew."""
    storage_wait: str | None
    """Why storage is waited for; None if it answers."""
    sinks: tuple[SinkState, ...] = ()
    awaiting: int = 0
    """Decoded frames that wait until their recipe is prepared."""
    preparing: tuple[str, float] | None = None
    """The product whose recipe is being prepared, and for how many seconds."""
