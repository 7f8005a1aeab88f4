"""The configuration and the policies that are built from it accept the same values and refuse the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.app.options import (
    calibration_policy,
    drift_policy,
    monitor_options,
    orientation_policy,
    supervision,
)
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.errors import ConfigurationError
from agent.domain.limits import MOST_VARIANTS
from agent.enrollment.orientation import OrientationPolicy
from agent.methods.variants import check_variants
from agent.monitors.failure_burst import BurstPolicy
from agent.monitors.score_drift import DriftPolicy
from agent.pipeline import Supervision
from config import Settings, load

PAIRS: dict[str, tuple[tuple[float, ...], tuple[float, ...], Callable[[float], object]]] = {
    "inspection.false_alarm_rate": (
        (0.001, 0.49), (0.0, 0.5), lambda value: CalibrationPolicy(false_alarm_rate=value)
    ),
    "inspection.review_factor": ((1.0, 5.0), (0.99,), lambda value: CalibrationPolicy(review_factor=value)),
    "references.directions": ((1, 32), (0, 33), lambda value: OrientationPolicy(int(value))),
    "alerts.burst.fails": ((2, 10), (1, 11), lambda value: BurstPolicy(fails=int(value))),
    "alerts.burst.of": ((5, 10_000), (4, 10_001), lambda value: BurstPolicy(of=int(value))),
    "drift.shift": ((0.1, 4.0), (0.09, 4.1), lambda value: DriftPolicy(shift=value)),
    "drift.frames_between_false_reports": (
        (100,), (99,), lambda value: DriftPolicy(frames_between_false_reports=int(value))
    ),
    "drift.minimum_frames": ((3, 500), (2, 501), lambda value: DriftPolicy(minimum_frames=int(value))),
    "agent.restarts": ((1,), (0,), lambda value: Supervision(restarts=int(value))),
}  # fmt: skip
"""Key: values that both accept, values that both refuse, and the policy that takes them."""


def build(settings: Settings) -> None:
    """Every policy, as the agent builds them."""
    calibration_policy(settings)
    orientation_policy(settings)
    drift_policy(settings)
    monitor_options(settings)
    supervision(settings)


@pytest.mark.parametrize("key", PAIRS)
def test_one_bound_holds_at_the_edge_and_in_the_policy(key: str) -> None:
    good, bad, policy = PAIRS[key]
    for value in good:
        policy(value)
        build(load(overrides=[f"{key}={value}"], environ={}).settings)
    for value in bad:
        with pytest.raises(ValueError, match=r"\w"):
            policy(value)
        with pytest.raises(ConfigurationError, match=rf"--set {key.rpartition('.')[0]}"):
            load(overrides=[f"{key}={value}"], environ={})


@pytest.mark.parametrize("rotations", ["auto", list(range(10, 42))])
def test_more_variants_than_a_method_memorises_are_refused_with_their_place(rotations: object) -> None:
    lights = [0.8, 1.2]  # and 1: three
    directions = 32
    with pytest.raises(ConfigurationError, match=rf"references.*{MOST_VARIANTS} variants"):
        load(
            overrides=[
                f"references.rotations={rotations}",
                f"references.directions={directions}",
                f"references.brightness={lights}",
            ],
            environ={},
        )
    with pytest.raises(ValueError, match=f"{MOST_VARIANTS} are the most"):
        check_variants([float(angle) for angle in range(directions + 1)], [1.0, *lights])
