"""``OnboardingSettings``: how the recipe of a new product is written, beside inspection."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from agent.domain.limits import FEWEST_FIRST_FRAMES
from config.sections.base import Section
from config.sections.units import Duration


class OnboardingSettings(Section):
    """What happens when a new product appears."""

    first_frames: int = Field(
        12,
        title="First frames",
        ge=FEWEST_FIRST_FRAMES,
        le=64,
        description="Frames of a new product that prompts are tried on before one set is used.",
    )
    commission: int = Field(
        0,
        title="Commissioning",
        ge=0,
        le=1000,
        description="This many first frames of every new SKU count as good and are enrolled. Only if an "
        "operator watches them. 0: none; `sightline recipe commission` does it for one SKU.",
    )
    retry_first: Duration = Field(
        timedelta(minutes=1),
        title="First retry",
        description="Pause before a language model that failed is tried again; doubled each time.",
    )
    retry_longest: Duration = Field(
        timedelta(hours=6), title="Longest retry", description="The pause grows no further than this."
    )
    lease: Duration = Field(
        timedelta(minutes=15),
        title="Lease",
        description="How long an agent may work on a new product before another one takes over.",
    )
    recalibrate: Duration = Field(
        timedelta(hours=1),
        title="Recalibration",
        description="How often thresholds are set again from judged frames and feedback. 0: never.",
    )
