"""An agent as it is seen from outside, whose parts a test breaks one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from adapters.observability.cached_probe import CachedProbe
from adapters.observability.health_source import BrokerState, DiskState, HealthSource, OutboxState
from agent.ports.health import PipelineState, StageState
from agent.telemetry import Counters, Measures

T = TypeVar("T")

STAGES = ("decode", "inspect", "record", "announce")


def stage(name: str, *, alive: bool = True, restarts: int = 0, busy_s: float | None = None) -> StageState:
    """A stage that is well, but for what is said."""
    return StageState(name, alive, restarts, busy_s)


def line_state(
    *changed: StageState, failed: bool = False, storage_wait: str | None = None, in_flight: int = 0
) -> PipelineState:
    """A line that is well, but for what is said."""
    stages = {name: stage(name) for name in STAGES} | {one.name: one for one in changed}
    return PipelineState(tuple(stages.values()), 0, None, 0, 0, 0, in_flight, failed, storage_wait)


@dataclass
class Patient:
    """What the agent would answer; change it, and ask again."""

    line: PipelineState | None = field(default_factory=line_state)
    broker: BrokerState | None = field(default_factory=lambda: BrokerState(True, None, 3))
    outbox: OutboxState | Exception = field(default_factory=lambda: OutboxState(2, 1.5))
    disks: Sequence[DiskState] | Exception = (DiskState("media", 50_000, 100_000, 10_000),)
    models: str | None = None
    database_file: Path | None = None
    counters: Counters = field(default_factory=Counters)
    measures: Measures = field(default_factory=Measures)

    def vitals(self) -> HealthSource:
        """Nothing is remembered between two questions."""
        return HealthSource(
            info={
                "agent": "cell-7",
                "site": "plant",
                "version": "1",
                "profile": "embedded",
                "method": "null",
            },
            counters=self.counters,
            measures=self.measures,
            line=lambda: self.line,
            broker=lambda: self.broker,
            outbox=CachedProbe("the database", lambda: _said(self.outbox), fresh_s=0.0),
            disks=CachedProbe("the file system", lambda: _said(self.disks), fresh_s=0.0),
            database_file=self.database_file,
            models=lambda: self.models,
            hang_after_s=600.0,
        )


def _said(answer: T | Exception) -> T:
    if isinstance(answer, Exception):
        raise answer
    return answer
