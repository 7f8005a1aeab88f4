"""``DriftSettings``: when slowly changing scores are worth an alert."""

from __future__ import annotations

from pydantic import Field, model_validator

from agent.domain.limits import (
    FEWEST_BASELINE_FRAMES,
    FEWEST_FRAMES_BETWEEN_FALSE_REPORTS,
    LARGEST_DRIFT_SHIFT,
    SMALLEST_DRIFT_SHIFT,
)
from config.sections.base import Section


class DriftSettings(Section):
    """Whether passed parts still score as they did at calibration, for each camera and product."""

    enabled: bool = Field(True, title="Watch for drift", description="false: no alert of this kind.")
    shift: float = Field(
        1.0,
        title="Shift",
        ge=SMALLEST_DRIFT_SHIFT,
        le=LARGEST_DRIFT_SHIFT,
        description="The change that is found soonest, in deviations of good parts' log scores.",
    )
    frames_between_false_reports: int = Field(
        1_000_000,
        title="Frames between false reports",
        ge=FEWEST_FRAMES_BETWEEN_FALSE_REPORTS,
        description="How many frames pass on average until drift is reported although there is none.",
    )
    baseline_frames: int = Field(
        500,
        title="Baseline",
        ge=FEWEST_BASELINE_FRAMES,
        description="Passed frames after calibration from which the usual scores are learned, then fixed.",
    )
    minimum_frames: int = Field(
        20,
        title="First frames",
        ge=FEWEST_BASELINE_FRAMES,
        description="If the calibration's scores are unknown, so many frames are only learned from.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> DriftSettings:
        if self.minimum_frames > self.baseline_frames:
            raise ValueError("minimum_frames should not exceed baseline_frames")
        return self
