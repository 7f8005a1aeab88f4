"""TODO."""

from __future__ import annotations

import math
from dataclasses import dataclass

MINIMUM_SAMPLES = 8
"""Below this many good parts the deviation of their scores says too little to judge by."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The threshold of one recipe and how it was set."""

    threshold: float
    """A score above this is a defect."""
    review_below: float
    """Scores from here up to ``threshold`` are inside the margin and go to REVIEW."""
    samples: int
    false_alarm_rate: float
    """The rate of good parts above ``threshold`` that was aimed at."""
    source: str
    """How it was set, for the row and for people: ``leave-one-out of 16 references``."""
    map_threshold: float | None = None
    """Pixels of the anomaly map above this belong to a defect; None: the method's default."""
    scorer: str | None = None
    """Fingerprint of the method, its parameters and the weights that gave the scores: a threshold
    means nothing for others."""
    log_mean: float | None = None
    """Mean of the natural logarithms of the samples' scores: what is usual, to see drift by."""
    log_deviation: float | None = None
    """Their standard deviation."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and math.isfinite(self.review_below)):
            raise ValueError("a threshold is a finite number")
        others = (self.false_alarm_rate, self.map_threshold, self.log_mean, self.log_deviation)
        if not all(other is None or math.isfinite(other) for other in others):
            raise ValueError("every number of a calibration is finite")
        if self.review_below > self.threshold:
            raise ValueError("the REVIEW margin lies below the threshold")
