"""HealthSource: what metrics and health checks can ask of a running agent. The application fills it in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from adapters.observability.cached_probe import CachedProbe
from agent.ports.health import PipelineState
from agent.telemetry import Counters, Measures


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The connection to the broker."""

    connected: bool
    last_error: str | None
    """Why there is no connection, if that is known."""
    unacknowledged: int
    """Deliveries that the broker still keeps for the agent."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Topics on which the broker has taken no message since it refused one, each with the reason."""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Messages of one sink that its receiver has not acknowledged."""

    depth: int
    oldest_s: float
    """Seconds since the oldest was written."""


def outbox_states(backlog: Mapping[str, tuple[int, datetime]]) -> Mapping[str, OutboxState]:
    """States by sink, from what :meth:`storage.outbox.SqlOutbox.backlog` returns."""
    now = datetime.now(UTC)
    return {
        sink: OutboxState(depth, max(0.0, (now - oldest).total_seconds()))
        for sink, (depth, oldest) in backlog.items()
    }


@dataclass(frozen=True, slots=True)
class DiskState:
    """One file system that the agent writes to."""

    name: str
    """``media`` or ``database``."""
    free: int
    """Bytes that this user may still write."""
    size: int
    """Bytes in all."""
    reserve: int = 0
    """Bytes that should stay free; below them the agent is not ready."""


@dataclass(frozen=True, slots=True)
class StorageWork:
    """What storage has done since the start."""

    commits: int = 0
    """Writing transactions."""
    syncs: int = 0
    """Media files and folders that were synced to the disk."""


@dataclass(frozen=True, slots=True)
class HealthSource:
    """Each callable answers at once, from memory. A question that may take long is a :class:`CachedProbe`."""

    info: Mapping[str, str]
    """Agent, site, version, profile, method: constant, and without any secret."""
    counters: Counters
    measures: Measures
    pipeline: Callable[[], PipelineState | None]
    """None before the pipeline is started."""
    broker: Callable[[], BrokerState | None]
    """None before the pipeline is started."""
    outbox: CachedProbe[Mapping[str, OutboxState]]
    """By sink; a sink without waiting messages may be missing. An answer also shows that storage answers."""
    disks: CachedProbe[Sequence[DiskState]]
    database_file: Path | None = None
    """The SQLite file."""
    storage_work: Callable[[], StorageWork] = StorageWork
    models: Callable[[], str | None] = field(default=lambda: None)
    """Why the models cannot judge; None if they are loaded."""
    recipes: Callable[[], str | None] = field(default=lambda: None)
    """How far the recipes of the last shift are prepared; None once all are."""
    hang_after_s: float = math.inf
    """A stage that is at one piece of work for longer hangs."""
