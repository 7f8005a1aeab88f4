"""calibrate(): from the scores of good parts to a threshold; CalibrationPolicy and PredictionBound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from agent.domain.calibration import MINIMUM_SAMPLES, Calibration
from agent.domain.limits import HIGHEST_FALSE_ALARM_RATE, LOWEST_REVIEW_FACTOR

Floats = NDArray[np.float64]

USUAL_SKEWNESS = 0.7
"""Skewness of the log scores of good parts if nothing is known of them. A score is the mean of a frame's
highest distances, and extremes have a longer tail on the right than a normal distribution. Products of
families that no study of thresholds draws had 0.74 in the mean, with a deviation of
0.39."""

SKEWNESS_WEIGHT = 40
"""How many parts that skewness counts as. Skewness varies by 0.39 from product to product, and a sample of n
gives it to ``sqrt(6 / n)``, so the best estimate weighs them like this (``6 / 0.39**2``)."""


@dataclass(frozen=True, slots=True)
class CalibrationPolicy:
    """What a factory requires of a threshold."""

    false_alarm_rate: float = 0.01
    """Share of good parts allowed above the threshold, in (0, 0.5)."""
    review_factor: float = 3.0
    """Scores below the threshold that ``review_factor * false_alarm_rate`` of good parts would exceed are
    left to a person."""
    minimum_samples: int = MINIMUM_SAMPLES

    def __post_init__(self) -> None:
        if not 0.0 < self.false_alarm_rate < HIGHEST_FALSE_ALARM_RATE:
            raise ValueError(
                f"false_alarm_rate is between 0 and {HIGHEST_FALSE_ALARM_RATE}, not {self.false_alarm_rate}"
            )
        if self.review_factor < LOWEST_REVIEW_FACTOR:
            raise ValueError(f"review_factor is at least {LOWEST_REVIEW_FACTOR:g}, not {self.review_factor}")

    @property
    def review_rate(self) -> float:
        """Share of good parts allowed above the lower end of the margin."""
        return min(0.5, self.review_factor * self.false_alarm_rate)


def calibrate(
    scores: Sequence[float],
    policy: CalibrationPolicy,
    *,
    source: str,
    map_threshold: float | None = None,
    scorer: str | None = None,
) -> Calibration | None:
    """Threshold from scores of good parts; None if there are too few of them.

    The next good part's log score is predicted from n earlier ones. With normal log scores it lies above
    ``mean + s * t(n-1, 1-q) * sqrt(1 + 1/n)`` with probability q exactly, however small n is (the one-sided
    Student prediction bound). Logarithms, because scores are positive distances whose deviation grows with
    them. Log scores of good parts are skewed to the right, so the quantile grows by ``(z(1-q)^2 - 1) / 6``
    times their skewness (the first term of Cornish and Fisher 1938); see :class:`PredictionBound`.

    A maximum would depend on a single part, and an empirical 99 % quantile needs a hundred of them. The rate
    holds for products together. That of a single product depends on the parts it was calibrated from: twenty
    parts give their deviation to a sixth, which is a factor of two or three in the rate, whatever the method.
    With more good parts it comes closer.

    Args:
        scores: positive scores of good parts that the recipe has not memorised (leave-one-out).
        source: how the scores came about, for the row and for people.
    """
    if len(scores) < max(2, policy.minimum_samples):
        return None
    bound = PredictionBound.of(log_scores(scores))
    return Calibration(
        threshold=math.exp(bound.at(policy.false_alarm_rate)),
        review_below=math.exp(bound.at(policy.review_rate)),
        samples=len(scores),
        false_alarm_rate=policy.false_alarm_rate,
        source=source,
        map_threshold=map_threshold,
        scorer=scorer,
        log_mean=bound.centre,
        log_deviation=bound.spread,
    )


def log_scores(scores: Sequence[float]) -> Floats:
    """Natural logarithms, of 1e-9 at least. Raises ValueError if a score is not finite."""
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("every calibration score must be a finite number")
    return np.log(np.maximum(values, 1e-9))


@dataclass(frozen=True, slots=True)
class PredictionBound:
    """The bound below which log scores of later good parts stay; see :func:`calibrate`."""

    centre: float
    spread: float
    skewness: float
    count: float
    """How many values of equal weight are worth as much."""

    @classmethod
    def of(cls, logs: Floats, weights: Floats | None = None) -> PredictionBound:
        """From the moments of at least two log scores, each with its weight (1 if none are given).

        Skewness is at least 0: that of the sample, drawn towards :data:`USUAL_SKEWNESS`. The sample's is the
        adjusted coefficient of Fisher and Pearson (Joanes and Gill 1998, G1). Few values, or equal ones, do
        not show any. Weighted values count as Kish's effective number of them (1965, section 11.7).
        """
        weights = np.ones_like(logs) if weights is None else weights
        total = float(weights.sum())
        n = max(total**2 / float((weights**2).sum()), 2.0)
        centre = float((weights * logs).sum()) / total
        second = float((weights * (logs - centre) ** 2).sum()) / total
        skewed = USUAL_SKEWNESS
        if n >= 3.0 and second >= 1e-12:
            third = float((weights * (logs - centre) ** 3).sum()) / total
            own = math.sqrt(n * (n - 1.0)) / max(n - 2.0, 1.0) * third / second**1.5
            skewed = max(0.0, (n * own + SKEWNESS_WEIGHT * USUAL_SKEWNESS) / (n + SKEWNESS_WEIGHT))
        return cls(centre, max(math.sqrt(second * n / (n - 1.0)), 1e-6), skewed, n)

    def at(self, rate: float) -> float:
        """The log score that the next good part exceeds with probability ``rate``, in (0, 1)."""
        quantile = -float(stdtrit(self.count - 1.0, rate)) * math.sqrt(1.0 + 1.0 / self.count)
        normal = -float(ndtri(rate))
        if normal > 1.0:
            quantile += (normal**2 - 1.0) * self.skewness / 6.0
        # Two samples and a tiny rate ask for more than a float holds; 700 is next to its end.
        return min(max(self.centre + self.spread * quantile, -700.0), 700.0)
