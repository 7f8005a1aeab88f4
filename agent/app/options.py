"""``pipeline_options`` and others: the options of each part, from the settings."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from adapters.images.decoder import FrameLimits
from adapters.images.worker import DecodeWorker
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRulebook, CameraRules, Overload
from agent.domain.tiling import Tiling
from agent.domain.verdict import Verdict
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.monitors.failure_burst import BurstPolicy
from agent.monitors.monitors import MonitorOptions
from agent.monitors.retention import Keep
from agent.monitors.score_drift import DriftPolicy
from agent.monitors.sequence_gaps import NumberSource, SequenceGapOptions, SequencePolicy
from agent.onboarding import OnboardingOptions
from agent.pipeline import PipelineOptions, Supervision
from agent.telemetry import Counters
from config import Settings


def calibration_policy(settings: Settings) -> CalibrationPolicy:
    inspection = settings.inspection
    return CalibrationPolicy(inspection.false_alarm_rate, inspection.review_factor)


def drift_policy(settings: Settings) -> DriftPolicy | None:
    """None if drift is not reported."""
    drift = settings.drift
    return DriftPolicy(**drift.model_dump(exclude={"enabled"})) if drift.enabled else None


def selection_policy(settings: Settings) -> SelectionPolicy:
    references = settings.references
    return SelectionPolicy(
        drop_duplicates=references.duplicates == "drop", exclude_outliers=references.outliers == "exclude"
    )


def orientation_policy(settings: Settings) -> OrientationPolicy | None:
    """None if the configuration states the angles for all products."""
    references = settings.references
    return OrientationPolicy(references.directions) if references.rotations == "auto" else None


def default_tiling(settings: Settings) -> Tiling | None:
    """Of products that are still to be enrolled; None: the whole image."""
    inspection = settings.inspection
    if inspection.tiles is None:
        return None
    return Tiling(inspection.tiles, tile_memory=inspection.tile_memory)


def onboarding_options(settings: Settings) -> OnboardingOptions:
    onboarding = settings.onboarding
    return OnboardingOptions(
        method=settings.inspection.method,
        first_frames=onboarding.first_frames,
        lease_s=onboarding.lease.total_seconds(),
        retry_first_s=onboarding.retry_first.total_seconds(),
        retry_longest_s=onboarding.retry_longest.total_seconds(),
        commission=onboarding.commission,
        language_model_required=settings.ollama.enabled is True,
        recalibrate_s=onboarding.recalibrate.total_seconds(),
    )


def decoder_limits(settings: Settings) -> FrameLimits:
    frames = settings.frames
    return FrameLimits(
        max_bytes=frames.max_bytes,
        max_pixels=frames.max_pixels,
        allowed_roots=tuple(frames.allowed_roots),
        allowed_hosts=tuple(frames.allowed_hosts),
        timeout_s=frames.fetch_timeout_s,
        zones={name: ZoneInfo(one.timezone) for name, one in settings.cameras.items() if one.timezone},
    )


def stated_bits(settings: Settings) -> dict[str, int]:
    """Significant bits of the values of each camera whose configuration names them."""
    return {name: camera.bits for name, camera in settings.cameras.items() if camera.bits is not None}


def decode_worker(settings: Settings, counters: Counters) -> DecodeWorker | None:
    """The process that decodes; None if the agent decodes in its own process."""
    frames = settings.frames
    if not frames.decode_worker or not DecodeWorker.supported():
        return None
    return DecodeWorker(frames.max_pixels, frames.decode_timeout_s, counters)


def camera_rules(settings: Settings) -> CameraRulebook:
    def rules(line: str, camera: str) -> CameraRules:
        return CameraRules(
            overload=Overload(settings.overload(line, camera)),
            shadow=settings.shadow(line, camera),
            cycle_time_ms=settings.cycle_time_ms(line, camera),
            timeout_s=settings.silent_after(line, camera).total_seconds(),
            regions=settings.regions(line, camera),
        )

    named = {name: rules(*name.split("/", 1)) for name in settings.cameras}
    return CameraRulebook(default=rules("+", "+"), named=named)  # no camera is called so


def monitor_options(settings: Settings) -> MonitorOptions:
    alerts = settings.alerts
    return MonitorOptions(
        drift=drift_policy(settings),
        bursts=BurstPolicy(alerts.burst.fails, alerts.burst.of) if alerts.burst.enabled else None,
        gaps=SequenceGapOptions(
            NumberSource(alerts.sequence),
            SequencePolicy(alerts.gap_patience.total_seconds(), alerts.gap_pause.total_seconds()),
        ),
        site=settings.agent.site,
    )


def supervision(settings: Settings) -> Supervision:
    agent = settings.agent
    return Supervision(
        restarts=agent.restarts,
        window_s=agent.restart_window.total_seconds(),
        hang_s=agent.hang_after.total_seconds(),
    )


def pipeline_options(settings: Settings) -> PipelineOptions:
    inspection = settings.inspection
    return PipelineOptions(
        max_batch=inspection.max_batch,
        max_wait_ms=inspection.max_wait_ms,
        # The client pauses reading at receive_maximum, give or take what one read brings.
        capacity=max(inspection.max_queue, settings.broker.receive_maximum + settings.broker.max_outgoing),
        rules=camera_rules(settings),
        monitors=monitor_options(settings),
        supervision=supervision(settings),
    )


def keep(settings: Settings) -> Keep:
    rows = settings.database.keep
    return Keep(keep_by_verdict(settings), rows.events, rows.sent)


def keep_by_verdict(settings: Settings) -> dict[str, timedelta | None]:
    """How long to keep the media of each verdict; a skipped frame has none."""
    keep = settings.media.keep
    return {
        Verdict.PASS: keep.pass_,
        Verdict.FAIL: keep.fail,
        Verdict.REVIEW: keep.review,
        Verdict.ERROR: keep.error,
    }
