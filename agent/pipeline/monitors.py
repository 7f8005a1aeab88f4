"""All watches over one line: drifting scores, bursts, lost frames, silent cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.domain.frame import Camera
from agent.domain.inspection import Inspection
from agent.domain.recipe import Recipe
from agent.monitors.camera_timeout import CameraTimeoutMonitor, CameraTimeoutOptions
from agent.monitors.failure_burst import BurstDetector, BurstPolicy, FailureBurstMonitor
from agent.monitors.score_drift import DriftPolicy, DriftTracker, ScoreDriftMonitor
from agent.monitors.sequence_gaps import SequenceGapMonitor, SequenceGapOptions
from agent.ports import History, MessageComposer, Transport
from agent.telemetry import Counters


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """What is watched, and how closely."""

    drift: DriftPolicy | None = field(default_factory=DriftPolicy)
    """When changing scores are told; None: never."""
    bursts: BurstPolicy | None = field(default_factory=BurstPolicy)
    """When many failed parts are told at once; None: never."""
    numbers: SequenceGapOptions = field(default_factory=SequenceGapOptions)
    silence: CameraTimeoutOptions = field(default_factory=CameraTimeoutOptions)


class Monitors:
    """The watches of one line; each is told what it needs by the stage that knows it."""

    def __init__(
        self,
        options: MonitorOptions,
        history: History,
        announcer: MessageComposer,
        counters: Counters,
        *,
        transport: Transport,
        waiting: Callable[[], int],
        shadow: Callable[[Camera], bool],
    ) -> None:
        """``waiting``: deliveries that came and were not yet looked at."""
        self.numbers = SequenceGapMonitor(options.numbers, history, announcer, counters, shadow=shadow)
        self.camera_timeouts = CameraTimeoutMonitor(
            options.silence,
            history,
            announcer,
            counters,
            connected=lambda: transport.connected,
            waiting=waiting,
            shadow=shadow,
        )
        self._recorded: list[ScoreDriftMonitor | FailureBurstMonitor] = []
        if options.drift is not None:
            self._recorded.append(
                ScoreDriftMonitor(DriftTracker(options.drift), history, announcer, counters)
            )
        if options.bursts is not None:
            self._recorded.append(
                FailureBurstMonitor(BurstDetector(options.bursts), history, announcer, counters)
            )

    def observe(self, recorded: Iterable[tuple[Inspection, Recipe | None]]) -> None:
        """Inspections as they were written, in their order."""
        rows = list(recorded)
        for watch in self._recorded:
            watch.observe(rows)
