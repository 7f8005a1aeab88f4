"""All watches over one line: drifting scores, bursts, lost frames, silent cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agent.bursts import BurstMonitor, BurstPolicy
from agent.domain.frame import Camera
from agent.domain.inspection import Inspection
from agent.drift import DriftMonitor, DriftPolicy
from agent.line.burst_watch import BurstWatch
from agent.line.numbers import NumbersOptions, NumbersWatch
from agent.line.silences import SilenceOptions, SilenceWatch
from agent.line.watch import DriftWatch
from agent.line.work import Work
from agent.ports import Announcer, History, Transport
from agent.telemetry import Counters


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What is watched, and how closely."""

    drift: DriftPolicy | None = field(default_factory=DriftPolicy)
    """When changing scores are told; None: never."""
    bursts: BurstPolicy | None = field(default_factory=BurstPolicy)
    """When many failed parts are told at once; None: never."""
    numbers: NumbersOptions = field(default_factory=NumbersOptions)
    silence: SilenceOptions = field(default_factory=SilenceOptions)


class Watches:
    """The watches of one line; each is told what it needs by the stage that knows it."""

    def __init__(
        self,
        options: WatchOptions,
        history: History,
        announcer: Announcer,
        counters: Counters,
        *,
        transport: Transport,
        waiting: Callable[[], int],
        shadow: Callable[[Camera], bool],
    ) -> None:
        """``waiting``: deliveries that came and were not yet looked at."""
        self.numbers = NumbersWatch(options.numbers, history, announcer, counters, shadow=shadow)
        self.silences = SilenceWatch(
            options.silence,
            history,
            announcer,
            counters,
            connected=lambda: transport.connected,
            waiting=waiting,
            shadow=shadow,
        )
        self._recorded: list[DriftWatch | BurstWatch] = []
        if options.drift is not None:
            self._recorded.append(DriftWatch(DriftMonitor(options.drift), history, announcer, counters))
        if options.bursts is not None:
            self._recorded.append(BurstWatch(BurstMonitor(options.bursts), history, announcer, counters))

    def observe(self, recorded: Iterable[tuple[Work, Inspection]]) -> None:
        """Inspections as they were written, in their order."""
        rows = list(recorded)
        for watch in self._recorded:
            watch.observe(rows)
