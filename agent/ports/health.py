"""The state of the line, as it is seen from outside: metrics and health are told from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageState:
    """One stage: decode, inspect, record or announce."""

    name: str
    alive: bool
    """Whether its thread runs. False before the start, after the end, and while a dead one is restarted."""
    restarts: int
    """How often it was restarted since the start."""
    busy_s: float | None
    """Seconds at its present piece of work; None where it has none, or waits for storage."""


@dataclass(frozen=True, slots=True)
class PipelineState:
    """All stages and what lies between them."""

    stages: tuple[StageState, ...]
    waiting: int
    """Deliveries that wait to be decoded."""
    oldest_wait_s: float | None
    """Seconds since the oldest of them was received; None where none waits."""
    ready: int
    """Decoded frames that wait to be judged."""
    judged: int
    """Judged frames that wait to be recorded."""
    superseded: int
    """Frames that a newer one replaced and whose rows are still to be written."""
    in_flight: int
    """Frames that were admitted and have no row yet."""
    failed: bool
    """Whether the line gave up and the agent ends so that it is started anew."""
    storage_wait: str | None
    """Why storage is waited for; None where it answers."""
