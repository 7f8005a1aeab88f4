"""``ObservedAgent``: the health source of an agent whose parts a test breaks one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from adapters.observability.cached_probe import CachedProbe
from adapters.observability.health_source import BrokerState, DiskState, HealthSource, OutboxState
from agent.ports.health import PipelineState, SinkState, StageState
from agent.telemetry import Counters, Measures

T = TypeVar("T")

STAGES = ("decode", "inspect", "record", "publish-mqtt")


def stage(name: str, *, alive: bool = True, restarts: int = 0, busy_s: float | None = None) -> StageState:
    """A stage that is well, except for the arguments."""
    return StageState(name, alive, restarts, busy_s)


def pipeline_state(
    *changed: StageState,
    failed: bool = False,
    storage_wait: str | None = None,
    in_flight: int = 0,
    sinks: tuple[SinkState, ...] = (SinkState("mqtt", None, sent=4),),
) -> PipelineState:
    """A pipeline that is well, except for the arguments."""
    stages = {name: stage(name) for name in STAGES} | {one.name: one for one in changed}
    return PipelineState(tuple(stages.values()), 0, None, 0, 0, 0, in_flight, failed, storage_wait, sinks)


@dataclass
class ObservedAgent:
    """What the agent would answer; change it, and ask again."""

    pipeline: PipelineState | None = field(default_factory=pipeline_state)
    broker: BrokerState | None = field(default_factory=lambda: BrokerState(True, None, 3))
    outbox: Mapping[str, OutboxState] | Exception = field(
        default_factory=lambda: {"mqtt": OutboxState(2, 1.5)}
    )
    disks: Sequence[DiskState] | Exception = (DiskState("media", 50_000, 100_000, 10_000),)
    models: str | None = None
    recipes: str | None = None
    database_file: Path | None = None
    counters: Counters = field(default_factory=Counters)
    measures: Measures = field(default_factory=Measures)

    def source(self) -> HealthSource:
        """A source that caches nothing between two calls."""
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
            pipeline=lambda: self.pipeline,
            broker=lambda: self.broker,
            outbox=CachedProbe("the database", lambda: _answer(self.outbox), fresh_s=0.0),
            disks=CachedProbe("the file system", lambda: _answer(self.disks), fresh_s=0.0),
            database_file=self.database_file,
            models=lambda: self.models,
            recipes=lambda: self.recipes,
            hang_after_s=600.0,
        )


def _answer(answer: T | Exception) -> T:
    if isinstance(answer, Exception):
        raise answer
    return answer
