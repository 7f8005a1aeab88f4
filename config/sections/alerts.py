"""What is worth an alert beside a failed part and drifting scores."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from config.sections.base import Section
from config.sections.units import Duration


class BurstSettings(Section):
    """Many failed parts within a few frames of one camera and product."""

    enabled: bool = Field(True, title="Alert about bursts", description="false: no alert of this kind.")
    fails: int = Field(5, title="Fails", ge=2, description="So many failed parts are a burst ...")
    of: int = Field(10, title="Frames", ge=2, le=10_000, description="... among so many last frames.")

    @model_validator(mode="after")
    def _in_order(self) -> BurstSettings:
        if self.fails > self.of:
            raise ValueError("fails should not exceed of")
        return self


class AlertSettings(Section):
    """Lost frames, silent cameras, bursts of failed parts."""

    silent_after: Duration = Field(
        timedelta(minutes=10),
        title="Silent after",
        description="A camera that has sent no frame for so long is told once, and once more when it is "
        "heard. 0: never. Cameras under `cameras` count from the start, all others from their first frame.",
    )
    sequence: Literal["field", "frame_id", "auto", "off"] = Field(
        "field",
        title="Running number",
        description="Where a frame has its running number, whose gaps are told: in its field `sequence`, in "
        "the digits that its frame id ends in, auto (the field, else the id), or off.",
    )
    gap_patience: Duration = Field(
        timedelta(seconds=10),
        title="Patience",
        description="How long a missing number is waited for before the gap is told.",
    )
    gap_pause: Duration = Field(
        timedelta(minutes=1),
        title="Pause between gaps",
        description="A camera that loses frames all the time is told of so often, with all that it lost.",
    )
    burst: BurstSettings = Field(
        default_factory=BurstSettings, title="Bursts", description="Many failed parts in a row."
    )

    @model_validator(mode="before")
    @classmethod
    def _off_is_a_word(cls, values: object) -> object:
        # YAML reads an unquoted off as false; what the person meant is plain.
        if isinstance(values, dict) and values.get("sequence") is False:
            return {**values, "sequence": "off"}
        return values
