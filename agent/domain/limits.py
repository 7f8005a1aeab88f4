"""Bounds of settings that two places check: the configuration, with the place, and a policy's constructor.

The configuration tells a person where a value stands; the constructor keeps whoever builds a policy in code
from one that makes no sense. Both use the bounds below, so that neither accepts what the other refuses.
"""

from __future__ import annotations

HIGHEST_FALSE_ALARM_RATE = 0.5
"""A share of good parts; the rate is above 0 and below this."""

LOWEST_REVIEW_FACTOR = 1.0

MOST_VARIANTS = 64
"""Images of one reference (directions times brightnesses): more cost more than they add."""

MOST_DIRECTIONS = 32
"""In which a reference is memorised."""

FEWEST_BURST_FAILS = 2
MOST_BURST_FRAMES = 10_000

SMALLEST_DRIFT_SHIFT, LARGEST_DRIFT_SHIFT = 0.1, 4.0
"""In deviations of good parts' log scores."""
FEWEST_FRAMES_BETWEEN_FALSE_REPORTS = 100
FEWEST_BASELINE_FRAMES = 3

FEWEST_RESTARTS = 1
"""Without one restart it cannot be found out which frame a stage dies of."""

FEWEST_FIRST_FRAMES = 4
"""With fewer first frames of a product, a trial of prompts decides nothing."""
