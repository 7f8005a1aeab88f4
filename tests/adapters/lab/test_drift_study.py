"""The study of drift on a product whose scores are its brightness: what it says can be worked out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from adapters.lab.studies.drift_study import CHANGES, dimmed, drift_study
from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.domain.frame import Image
from agent.monitors.score_drift import Baseline, DriftPolicy
from tests.support.images import part


def parts(first: int, count: int) -> Iterator[Image]:
    return (part(number, side=32) for number in range(first, first + count))


def darkness(images: Sequence[Image]) -> list[float]:
    return [float(255.0 - image.mean()) for image in images]


def test_less_light_is_told_soon_and_nothing_without_it() -> None:
    calibrated = darkness(list(parts(9000, 20)))
    calibration = calibrate(calibrated, CalibrationPolicy(), source="test")
    assert calibration is not None
    study = drift_study(
        darkness,
        parts,
        calibration,
        Baseline.of(calibrated),
        DriftPolicy(baseline_frames=100),
        good=100,
        changed=20,
        runs=5,
        frames=2000,
        changes={"less light": dimmed, "none": lambda image, _: image},
    )
    assert study.frames_without_drift == 10_000
    assert study.false_reports <= 1.0
    sudden, gradual = study.sudden["less light"], study.gradual["less light"]
    assert sudden.shift > 3.0
    assert sudden.false_alarms > 0.9
    assert sudden.detected == gradual.detected == 1.0
    assert sudden.frames is not None
    assert sudden.frames <= 32
    assert gradual.frames is not None
    assert sudden.frames < gradual.frames < 500
    assert gradual.false_alarms_until_told < 0.3
    assert abs(study.sudden["none"].shift) < 1.0


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_change_begins_with_nothing_and_grows(name: str) -> None:
    image = part(1, side=256)
    image[64:192, 64:192] //= 2
    moved = [
        float(np.abs(CHANGES[name](image, extent).astype(float) - image).mean()) for extent in (0.0, 0.5, 1.0)
    ]
    assert moved[0] == 0.0
    assert moved[0] < moved[1] < moved[2]
