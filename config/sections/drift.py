"""When scores that slowly change are worth an alert."""

from __future__ import annotations

from pydantic import Field, model_validator

from config.sections.base import Section


class DriftSettings(Section):
    """Whether passed parts still score as they did at calibration, for each camera and product."""

    enabled: bool = Field(True, title="Watch for drift", description="false: no alert of this kind.")
    shift: float = Field(
        1.0,
        title="Shift",
        ge=0.1,
        le=4.0,
        description="The change that is found soonest, in deviations of good parts' log scores.",
    )
    frames_between_false_reports: int = Field(
        1_000_000,
        title="Frames between false reports",
        ge=100,
        description="How many frames pass on average until drift is reported where there is none.",
    )
    baseline_frames: int = Field(
        500,
        title="Baseline",
        ge=3,
        description="Passed frames after calibration from which the usual scores are learnt, then fixed.",
    )
    minimum_frames: int = Field(
        20,
        title="First frames",
        ge=3,
        description="Where nothing is known of the calibration's scores, so many are only learnt from.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> DriftSettings:
        if self.minimum_frames > self.baseline_frames:
            raise ValueError("minimum_frames should not exceed baseline_frames")
        return self
