"""What any threshold set from a few parts can reach, by arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

_DRAWS = 100_000
_FACTORS = np.linspace(-1.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Attainable:
    """Shares of products whose realised rate lies inside the aim, were their log scores exactly normal."""

    prediction_bound: float
    """With the bound that the agent uses, which keeps the rate in the mean over products."""
    best: float
    """With the ``mean + k * deviation`` whose ``k`` serves this aim best, whatever its rate in the mean."""


def attainable(samples: int, rate: float, low: float, high: float) -> Attainable:
    """Draws mean and deviation of ``samples`` normal values many times and computes each realised rate.

    Args:
        samples: good parts that a threshold is set from, at least 2.
        rate: the rate asked for, in (0, 0.5).
        low: lowest rate inside the aim.
        high: highest rate inside the aim.
    """
    random = np.random.default_rng(0)
    mean = random.standard_normal(_DRAWS) / np.sqrt(samples)
    deviation = np.sqrt(random.chisquare(samples - 1, _DRAWS) / (samples - 1))

    def inside(factor: float) -> float:
        realised = norm.sf(mean + factor * deviation)
        return float(np.mean((realised >= low) & (realised <= high)))

    bound = float(student_t.ppf(1.0 - rate, samples - 1) * np.sqrt(1.0 + 1.0 / samples))
    around = float(norm.isf(rate))
    best = max(inside(around + offset) for offset in _FACTORS)
    return Attainable(inside(bound), max(best, inside(bound)))
