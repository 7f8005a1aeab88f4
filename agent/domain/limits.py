"""Bounds of settings that two places check: the configuration and a policy's constructor.

The configuration reports the key and line of a wrong value. The constructor protects code that builds a
policy. Both use the bounds below, so that neither accepts what the other refuses.
"""

from __future__ import annotations

HIGHEST_FALSE_ALARM_RATE = 0.5
"""A share of good parts; the rate is above 0 and below this."""

LOWEST_REVIEW_FACTOR = 1.0

MOST_VARIANTS = 64
"""Images of one reference (directions times brightnesses): more cost more than they add."""

MOST_TILES = 64
"""Tiles of one image: each costs a pass of its own."""

MOST_DIRECTIONS = 32
"""Directions in which one reference may be memorised."""

FEWEST_BURST_FAILS = 2
MOST_BURST_FRAMES = 10_000

SMALLEST_DRIFT_SHIFT, LARGEST_DRIFT_SHIFT = 0.1, 4.0
"""In deviations of good parts' log scores."""
FEWEST_FRAMES_BETWEEN_FALSE_REPORTS = 100
FEWEST_BASELINE_FRAMES = 3

FEWEST_RESTARTS = 1
"""Without one restart, the frame that a stage dies of cannot be found."""

FEWEST_FIRST_FRAMES = 4
"""With fewer first frames of a product, a trial of prompts decides nothing."""
USED_OF_LEASE = 0.9
"""Share of a claim's lease for the language model; the rest is for first frames and looking at the server."""
