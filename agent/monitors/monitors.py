"""Monitors: what is watched across frames, built together; MonitorOptions: what and how closely."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field

from agent.domain.camera_rules import CameraRulebook
from agent.domain.inspection import Inspection
from agent.domain.recipe import Recipe
from agent.event_log import EventLog
from agent.monitors.camera_timeout import CameraTimeoutMonitor
from agent.monitors.camera_zone import CameraZoneMonitor
from agent.monitors.failure_burst import BurstPolicy, FailureBurstMonitor
from agent.monitors.frame_ids import FrameIdMonitor
from agent.monitors.score_drift import DriftPolicy, ScoreDriftMonitor
from agent.monitors.sequence_gaps import SequenceGapMonitor, SequenceGapOptions
from agent.monitors.unlike_frames import UnlikeFrameMonitor
from agent.ports import History, Transport
from agent.telemetry import Counters


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """What is monitored, and how closely."""

    drift: DriftPolicy | None = field(default_factory=DriftPolicy)
    """When changing scores are reported; None: never."""
    bursts: BurstPolicy | None = field(default_factory=BurstPolicy)
    """When many failed parts are reported as a burst; None: never."""
    gaps: SequenceGapOptions = field(default_factory=SequenceGapOptions)
    site: str = ""
    """Cameras named here count as silent even if they never sent a frame."""


class Monitors:
    """The monitors of one pipeline. Each is fed by the stage that has what it needs."""

    def __init__(
        self,
        options: MonitorOptions,
        rules: CameraRulebook,
        history: History,
        events: EventLog,
        counters: Counters,
        *,
        transport: Transport,
        ingress: Sized,
    ) -> None:
        """``ingress``: deliveries that came in and are not decoded yet."""
        self.gaps = SequenceGapMonitor(options.gaps, history, events, counters, rules)
        self.frame_ids = FrameIdMonitor(events, counters)
        self.timeouts = CameraTimeoutMonitor(
            rules, options.site, events, counters, transport=transport, ingress=ingress
        )
        self._unlike = UnlikeFrameMonitor(events)
        self._of_results: list[ScoreDriftMonitor | FailureBurstMonitor | CameraZoneMonitor] = [
            CameraZoneMonitor(events)
        ]
        if options.drift is not None:
            self._of_results.append(ScoreDriftMonitor(options.drift, events))
        if options.bursts is not None:
            self._of_results.append(FailureBurstMonitor(options.bursts, events))

    def observe(self, inspection: Inspection, recipe: Recipe | None, unlike: str | None = None) -> None:
        """Pass on a recorded inspection and the recipe that judged it; called in the order of the rows.

        ``unlike``: what of the frame is unlike the recipe's references in form.
        """
        self._unlike.observe(inspection, recipe, unlike)
        for monitor in self._of_results:
            monitor.observe(inspection, recipe)
