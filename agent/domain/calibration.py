"""Calibration: the threshold of one recipe, and how it was set."""

from __future__ import annotations

import math
from dataclasses import dataclass

MINIMUM_SAMPLES = 8
"""With fewer good parts, the deviation of their scores is too uncertain to judge by."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The threshold of one recipe and how it was set."""

    threshold: float
    """A score above this is a defect."""
    review_below: float
    """Scores from here up to ``threshold`` are inside the margin and go to REVIEW."""
    samples: int
    false_alarm_rate: float
    """The target: the rate of good parts above ``threshold``."""
    source: str
    """How it was set, for the row and for people. Example: ``leave-one-out of 16 references``."""
    map_threshold: float | None = None
    """Pixels of the anomaly map above this belong to a defect; None: the method's default."""
    scorer: str | None = None
    """Fingerprint of the method, its parameters and the weights that gave the scores. The threshold
    does not apply to the scores of another one."""
    log_mean: float | None = None
    """Mean of the natural logarithms of the samples' scores: the usual level, from which drift is
    measured."""
    log_deviation: float | None = None
    """Standard deviation of the same logarithms."""
    label_margin: float | None = None
    """A region takes the name of a defect if this name beats the others by so much, else it is an
    ``anomaly``; None: no margin is known by which names are right."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and math.isfinite(self.review_below)):
            raise ValueError("a threshold is a finite number")
        others = (
            self.false_alarm_rate,
            self.map_threshold,
            self.log_mean,
            self.log_deviation,
            self.label_margin,
        )
        if not all(other is None or math.isfinite(other) for other in others):
            raise ValueError("every number of a calibration is finite")
        if self.review_below > self.threshold:
            raise ValueError(
                f"review_below is {self.review_below!r} and threshold {self.threshold!r}: the REVIEW margin "
                "lies below the threshold, so review_below must not be the higher one"
            )
