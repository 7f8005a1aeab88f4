"""Enrolment: photographs of good parts in, a calibrated recipe out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from agent.calibration import CalibrationPolicy, calibrate
from agent.errors import RecipeError
from agent.frame import Image
from agent.inspector import Inspector
from agent.methods.maps import pool_map
from agent.methods.method import Prepared
from agent.recipe import Recipe
from agent.references import Selection, SelectionPolicy, select

WHOLE_BANK = 64
"""Most references in a bank without bound: memory has an end, and so many show what the others do."""

Progress = Callable[[int, int], None]
"""Called with (done, total) after each reference."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A recipe that knows its references, ready to be used and to be stored."""

    recipe: Recipe
    prepared: Prepared
    scores: tuple[float, ...]
    """Leave-one-out score of each reference, in their order."""
    selection: Selection | None = None
    """What became of the pictures that were offered; None where all were taken unseen."""


def enrol(
    inspector: Inspector,
    recipe: Recipe,
    images: Sequence[Image],
    *,
    policy: CalibrationPolicy,
    selection: SelectionPolicy | None = None,
    progress: Progress | None = None,
) -> Enrolled:
    """Memorise references and set the threshold from their leave-one-out scores.

    With a ``selection`` policy, pictures that show the same as another and those unlike all others are
    found first; the recipe then holds the references that are left, and the result names the others.

    Each reference is scored against the others, as if it had never been enrolled; a score against a
    bank that holds the picture itself would be zero. With too few of them the recipe stays
    uncalibrated and its verdicts are REVIEW.

    Raises:
        RecipeError: no pictures, or not one for each reference of ``recipe``.
    """
    if not images:
        raise RecipeError(f"enrolling {recipe.sku!r} needs at least one picture of a good part")
    chosen = None
    if selection is not None and len(images) == recipe.shots:
        chosen = _select(inspector, recipe, images, selection)
        recipe = replace(recipe, references=tuple(recipe.references[index] for index in chosen.kept))
        images = [images[index] for index in chosen.kept]
    prepared = inspector.prepare(recipe, images)
    scores, pooled = leave_one_out(inspector, prepared, images, progress)
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
    return Enrolled(calibrated, prepared.belonging_to(calibrated), tuple(scores), chosen)


def _select(
    inspector: Inspector, recipe: Recipe, images: Sequence[Image], policy: SelectionPolicy
) -> Selection:
    def scores_among(indices: Sequence[int]) -> Sequence[float]:
        part = [images[index] for index in indices]
        among = replace(recipe, references=tuple(recipe.references[index] for index in indices))
        return leave_one_out(inspector, inspector.prepare(among, part), part)[0]

    return select(images, [reference.name for reference in recipe.references], scores_among, policy)


def leave_one_out(
    inspector: Inspector, prepared: Prepared, images: Sequence[Image], progress: Progress | None = None
) -> tuple[list[float], list[float]]:
    """The score of each reference against the others, and what its map pools to where there is one.

    A bounded bank keeps of similar patches only one, whoever it came from. To leave out its owner would
    leave a gap that was never there had it not been enrolled, and of products whose parts are all alike
    scores would be too high by a third. The references are compared with whole banks here, for which many
    of them are taken in groups.

    One picture has no others: both lists are empty then.
    """
    scores: list[float] = []
    pooled: list[float] = []
    if len(images) < 2:
        return scores, pooled
    for first, last in _groups(len(images), prepared):
        group = _whole(inspector, prepared, images, first, last)
        for index in range(first, last):
            scored = inspector.score([images[index]], [group.leaving_out(index - first)])[0]
            scores.append(scored.score)
            if scored.anomaly_map is not None:
                pooled.append(float(pool_map(scored.anomaly_map.unsqueeze(0), prepared.pool_fraction)))
            if progress is not None:
                progress(index + 1, len(images))
    return scores, pooled


def _bank_limit(prepared: Prepared) -> int:
    """How many vectors the method keeps of all references; 0: all of them."""
    return int(getattr(getattr(prepared, "parameters", None), "bank_limit", 0))


def _groups(count: int, prepared: Prepared) -> list[tuple[int, int]]:
    """First and last of each group, the last one not in it; of nearly equal sizes."""
    number = -(-count // WHOLE_BANK) if _bank_limit(prepared) else 1
    ends = [count * index // number for index in range(number + 1)]
    return list(pairwise(ends))


def _whole(
    inspector: Inspector, prepared: Prepared, images: Sequence[Image], first: int, last: int
) -> Prepared:
    """The same recipe with some of its references in banks without bound, where its method bounds them."""
    if not _bank_limit(prepared):
        return prepared
    recipe = prepared.recipe
    parameters = {**recipe.parameters, "bank_limit": sys.maxsize}
    draft = replace(recipe, parameters=parameters, references=recipe.references[first:last])
    return inspector.prepare(draft, images[first:last])
