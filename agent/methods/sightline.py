"""The default method: FADE's arithmetic with constants that do not depend on test data.

Scores are not clipped (a threshold is calibrated for each recipe, and clipping would tie the worst
defects), prompts are used as written, and a map is summed up by the mean of its highest 1 % of
pixels, which a single hot pixel does not move (AnomalyDINO; METHODS 8.3).
"""

from __future__ import annotations

from agent.methods.fade import FadeParameters

SIGHTLINE = FadeParameters(
    scales=(240, 448),
    pool_fraction=0.01,
    few_shot_image_vision=0.85,
    clip=False,
    wrap_prompt=False,
)
