"""Enrolment: photographs of good parts in, a calibrated recipe out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from agent.calibration import CalibrationPolicy, calibrate
from agent.errors import RecipeError
from agent.frame import Image
from agent.inspector import Inspector
from agent.methods.maps import pool_map
from agent.methods.method import Prepared
from agent.recipe import Recipe
from agent.references import Selection, SelectionPolicy, select

FOLDS = 10
"""Groups that references are left out in where banks are bounded: a bank from nine tenths of them covers a
part nearly as well as that of all, and to choose one takes a second on a processor."""

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

    Where a bank holds every patch, the reference's own are masked. A bounded bank keeps of similar patches
    only one, whoever it came from: to mask its owner would leave a gap that was never there had it not been
    enrolled, and to compare with all patches would be kinder than the bank that parts are judged by. So
    references are left out in groups, and a bank of the same bound is chosen from the others for each.

    One picture has no others: both lists are empty then.
    """
    if len(images) < 2:
        return [], []
    found: dict[int, tuple[float, float | None]] = {}
    for group in _groups(len(images), 1 if prepared.complete else FOLDS):
        without = None if prepared.complete else _without(inspector, prepared, images, group)
        for index in group:
            rest = prepared.leaving_out(index) if without is None else without
            scored = inspector.score([images[index]], [rest])[0]
            pooled = None
            if scored.anomaly_map is not None:
                pooled = float(pool_map(scored.anomaly_map.unsqueeze(0), prepared.pool_fraction))
            found[index] = (scored.score, pooled)
            if progress is not None:
                progress(len(found), len(images))
    ordered = [found[index] for index in range(len(images))]
    return [score for score, _ in ordered], [pooled for _, pooled in ordered if pooled is not None]


def _groups(count: int, most: int) -> list[range]:
    """At most so many groups of indices; neighbours, which may show parts made together, stand apart."""
    number = min(count, most)
    return [range(first, count, number) for first in range(number)]


def _without(
    inspector: Inspector, prepared: Prepared, images: Sequence[Image], group: Collection[int]
) -> Prepared:
    """The same recipe as if none of the group had been enrolled."""
    rest = [index for index in range(len(images)) if index not in group]
    recipe = prepared.recipe
    draft = replace(recipe, references=tuple(recipe.references[index] for index in rest))
    return inspector.prepare(draft, [images[index] for index in rest])
