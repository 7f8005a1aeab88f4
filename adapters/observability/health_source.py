"""What can be asked of a running agent from outside. The application fills it in."""

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
    """Why there is none, as far as that is known."""
    unacknowledged: int
    """Deliveries that the broker still keeps for us."""


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Messages of one sink that its receiver has not acknowledged."""

    depth: int
    oldest_s: float
    """Seconds since the oldest was written."""


def outbox_states(backlog: Mapping[str, tuple[int, datetime]]) -> Mapping[str, OutboxState]:
    """By sink, from what :meth:`storage.outbox.SqlOutbox.backlog` returns."""
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
class HealthSource:
    """Each callable answers at once, from memory; what may take its time is a :class:`CachedProbe`."""

    info: Mapping[str, str]
    """Agent, site, version, profile, method: constant, and without any secret."""
    counters: Counters
    measures: Measures
    line: Callable[[], PipelineState | None]
    """None before it is started."""
    broker: Callable[[], BrokerState | None]
    """None before the line is started."""
    outbox: CachedProbe[Mapping[str, OutboxState]]
    """By sink; of one for which nothing waits there may be none. That it could be read says that storage
    answers."""
    disks: CachedProbe[Sequence[DiskState]]
    database_file: Path | None = None
    """The SQLite file."""
    models: Callable[[], str | None] = field(default=lambda: None)
    """What keeps the models from judging; None where they are loaded."""
    hang_after_s: float = math.inf
    """A stage that is longer at one piece of work hangs."""
