"""``AlertSettings``: alerts beside those of failed parts and drifting scores."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from agent.domain.limits import FEWEST_BURST_FAILS, MOST_BURST_FRAMES
from config.sections.base import Section
from config.sections.units import Duration


class BurstSettings(Section):
    """Many failed parts within a few frames of one camera and product."""

    enabled: bool = Field(True, title="Alert about bursts", description="false: no alert of this kind.")
    fails: int = Field(
        5, title="Fails", ge=FEWEST_BURST_FAILS, description="So many failed parts are a burst ..."
    )
    of: int = Field(
        10,
        title="Frames",
        ge=FEWEST_BURST_FAILS,
        le=MOST_BURST_FRAMES,
        description="... among so many last frames.",
    )

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
        description="A camera that has sent no frame for so long is reported once, and once more when it "
        "sends again. 0: never. Cameras under `cameras` count from the start, others from their first frame.",
    )
    sequence: Literal["field", "frame_id", "auto", "off"] = Field(
        "field",
        title="Sequence number",
        description="Where a frame has its sequence number, whose gaps are reported: in its field "
        "`sequence`, in the digits that its frame id ends in, auto (the field, else the id), or off.",
    )
    gap_patience: Duration = Field(
        timedelta(seconds=10),
        title="Patience",
        description="How long a missing number may still arrive before the gap is reported.",
    )
    gap_pause: Duration = Field(
        timedelta(minutes=1),
        title="Pause between gaps",
        description="Gaps of a camera that keeps losing frames are reported together, this often.",
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
