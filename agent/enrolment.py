"""Enrolment: photographs of good parts in, a calibrated recipe out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.calibration import CalibrationPolicy, calibrate
from agent.errors import RecipeError
from agent.frame import Image
from agent.inspector import Inspector
from agent.methods.maps import pool_map
from agent.methods.method import Prepared
from agent.recipe import Recipe

Progress = Callable[[int, int], None]
"""Called with (done, total) after each reference."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A recipe that knows its references, ready to be used and to be stored."""

    recipe: Recipe
    prepared: Prepared
    scores: tuple[float, ...]
    """Leave-one-out score of each reference, in their order."""


def enrol(
    inspector: Inspector,
    recipe: Recipe,
    images: Sequence[Image],
    *,
    policy: CalibrationPolicy,
    progress: Progress | None = None,
) -> Enrolled:
    """Memorise references and set the threshold from their leave-one-out scores.

    Each reference is scored against the others, as if it had never been enrolled; a score against a
    bank that holds the picture itself would be zero. With too few of them the recipe stays
    uncalibrated and its verdicts are REVIEW.

    Raises:
        RecipeError: no pictures, or not one for each reference of ``recipe``.
    """
    if not images:
        raise RecipeError(f"enrolling {recipe.sku!r} needs at least one picture of a good part")
    prepared = inspector.prepare(recipe, images)
    scores: list[float] = []
    pooled: list[float] = []
    for index, image in enumerate(images if len(images) > 1 else ()):
        scored = inspector.score([image], [prepared.leaving_out(index)])[0]
        scores.append(scored.score)
        if scored.anomaly_map is not None:
            pooled.append(float(pool_map(scored.anomaly_map.unsqueeze(0), prepared.pool_fraction)))
        if progress is not None:
            progress(index + 1, len(images))
    source = f"leave-one-out of {len(images)} references, Student prediction bound of log scores"
    maps = calibrate(pooled, policy, source=source)
    calibration = calibrate(
        scores,
        policy,
        source=source,
        map_threshold=maps.threshold if maps else None,
        scorer=inspector.fingerprint(recipe),
    )
    calibrated = replace(recipe, calibration=calibration)
    return Enrolled(calibrated, prepared.belonging_to(calibrated), tuple(scores))
