"""Inspection: all that is known of one judged frame, one row of the history; and Feedback on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import FrameIdentity
from agent.domain.regions import EVERYWHERE, Regions
from agent.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Defect:
    """A connected region of the mask."""

    index: int
    """From 1; the value of its pixels in the published mask."""
    label: str
    score: float
    bbox: tuple[int, int, int, int]
    """x, y, width, height in pixels of the frame."""
    area_px: int
    area_fraction: float
    """Of the frame's pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """The anomaly map of a frame, reduced to what people look at."""

    values: NDArray[np.float32]
    """(h, w), the whole frame."""
    threshold: float
    """Pixels above this belong to a defect."""


@dataclass(frozen=True, slots=True)
class RecipeStamp:
    """Which recipe judged, as the row and the verdict message name it."""

    id: int | None
    version: int
    method: str
    prompt_source: str
    shots: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds that a frame spent in each stage."""

    queue: float = 0.0
    decode: float = 0.0
    infer: float = 0.0
    record: float = 0.0


@dataclass(frozen=True, slots=True)
class MediaPaths:
    """Files of an inspection, relative to the media folder."""

    image: str | None = None
    mask: str | None = None
    overlay: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """One frame, judged.

    The fields are those of the verdict message. ``sightline config schema --verdict`` prints its JSON Schema.
    """

    inspection_id: str
    identity: FrameIdentity
    sku: str | None
    verdict: Verdict
    reason: str
    received_at: datetime
    inspected_at: datetime
    score: float | None = None
    threshold: float | None = None
    threshold_source: str | None = None
    """How the threshold was set and from how many samples, so that a row explains itself."""
    calibrated: bool = False
    shadow: bool = False
    late: bool = False
    defects: tuple[Defect, ...] = ()
    recipe: RecipeStamp | None = None
    model_digest: str | None = None
    """Digest of the weights that scored the frame."""
    timings: Timings = field(default_factory=Timings)
    media: MediaPaths = field(default_factory=MediaPaths)
    size: tuple[int, int] | None = None
    """(width, height) of the frame in pixels; None if it could not be decoded."""
    regions: Regions = EVERYWHERE
    """What was inspected of it, for the overlay; the recipe's version stores the recipe's own."""

    def __post_init__(self) -> None:
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError("a score is a finite number; a model that gives none ends as ERROR")


@dataclass(frozen=True, slots=True)
class Feedback:
    """An operator's feedback on an inspection."""

    truth: str
    """``good`` or ``defective``."""
    at: datetime
    inspection_id: str | None = None
    frame_id: str | None = None
    camera: str | None = None
    """``site/line/camera``, to find the frame if only its id is named."""
    by: str | None = None
    note: str | None = None
    part_id: str | None = None
    """The truth of a part, whichever cameras saw it."""

    def refusal(self, matches: int) -> str:
        """Why it was not recorded, in a sentence: it fits none or several of the inspections."""
        what = f"frame {self.frame_id!r}" if self.frame_id else f"inspection id {self.inspection_id!r}"
        if self.frame_id and self.camera:
            what += f" of camera {self.camera}"
        if matches < 2:
            return f"no inspection matches {what}; check the id and the camera"
        remedy = (
            "the inspection id" if self.camera else "its camera too (SITE/LINE/CAMERA), or the inspection id"
        )
        return f"{matches} inspections match {what}; name {remedy}"

    def __post_init__(self) -> None:
        if self.truth not in ("good", "defective"):
            raise ValueError(f'truth is "good" or "defective", not {self.truth!r}')
        named = (self.inspection_id, self.frame_id, self.part_id)
        if sum(one is not None for one in named) != 1:
            raise ValueError("feedback names an inspection_id, a frame_id or a part_id, one of them")
