"""How the recipe of a new product is written, beside the line."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from config.sections.base import Section
from config.sections.units import Duration


class OnboardingSettings(Section):
    """What happens when a product appears that nobody has described."""

    first_frames: int = Field(
        12,
        title="First frames",
        ge=4,
        le=64,
        description="Frames of a new product that prompts are tried on before one set is used.",
    )
    commission: int = Field(
        0,
        title="Commissioning",
        ge=0,
        le=1000,
        description="This many first frames of every new SKU are taken as good and enrolled. Only for a line "
        "that an operator vouches for. 0: none; `sightline recipe commission` does it for one SKU.",
    )
    retry_first: Duration = Field(
        timedelta(minutes=1),
        title="First retry",
        description="Pause before a language model that failed is asked again; doubled each time.",
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
        description="How often thresholds are set anew from judged frames and operators' answers. 0: never.",
    )
