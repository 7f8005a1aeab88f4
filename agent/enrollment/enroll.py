"""enroll(): images of good parts in, a calibrated recipe out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.enrollment.orientation import (
    ANGLES,
    Orientation,
    OrientationPolicy,
    compared_references,
    find_orientation,
    with_angles,
)
from agent.enrollment.selection import Selection, SelectionPolicy, select
from agent.inference.inspector import Inspector
from agent.methods.batching import require_references
from agent.methods.maps import pool_map
from agent.methods.prepared import Prepared

FOLDS = 10
"""If banks are bounded, references are left out in so many groups. A bank from nine tenths of them covers a
part nearly as well as one from all, and choosing it takes a second on a processor."""

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
    """What became of the offered images; None if all were taken unchecked."""
    orientation: Orientation | None = None
    """How the parts lie; None if it was not examined."""


def enroll(
    inspector: Inspector,
    recipe: Recipe,
    images: Sequence[Image],
    *,
    policy: CalibrationPolicy,
    selection: SelectionPolicy | None = None,
    orientation: OrientationPolicy | None = None,
    progress: Progress | None = None,
) -> Enrolled:
    """Memorise references and set the threshold from their leave-one-out scores.

    With a ``selection`` policy, images that show the same as another and those unlike all others are found
    first. The recipe then holds the references that are left, and the result names the others.

    With an ``orientation`` policy, enrollment finds out whether the parts lie in any direction, unless
    ``recipe`` names angles itself or the method rotates references anyway. The recipe's parameters hold the
    decision: the angles if references are memorised rotated, nothing if they are memorised as they are. This
    costs at most 66 passes, however many references and directions there are: :data:`COMPARED_REFERENCES` of
    them are encoded as they are and in :data:`COMPARED_DIRECTIONS` directions, and scored twice (both in
    :mod:`agent.enrollment.orientation`). It comes after the duplicates, which are alike in any direction and
    would speak for a fixture. It comes before the outliers: among references memorised as they are, a good
    loose part that lies apart would look unusual.

    Each reference is scored against the others, as if it had never been enrolled; a score against a bank that
    holds the image itself would be zero. With too few references the recipe stays uncalibrated and its
    verdicts are REVIEW.

    Raises:
        RecipeError: no images, or not one for each reference of ``recipe``.
    """
    if not images:
        raise RecipeError(f"enrolling {recipe.sku!r} needs at least one image of a good part")
    finder = _OrientationFinder(inspector, orientation)

    def scored(indices: Sequence[int]) -> _Scored:
        part = [images[index] for index in indices]
        prepared = inspector.prepare(finder.decide(_among(recipe, indices), part), part)
        return _Scored(tuple(indices), prepared, *leave_one_out(inspector, prepared, part, progress))

    require_references(recipe, images)
    found, chosen = None, None
    if selection is not None:
        found, chosen = _select(recipe, images, selection, scored)
    kept = tuple(range(len(images))) if chosen is None else chosen.kept
    if found is None or found.indices != kept:
        found = scored(kept)
    return Enrolled(*_calibrated(inspector, found, policy), tuple(found.scores), chosen, finder.found)


@dataclass(frozen=True, slots=True)
class _Scored:
    """Some of the images, memorised and scored against each other."""

    indices: tuple[int, ...]
    prepared: Prepared
    scores: list[float]
    pooled: list[float]


def _calibrated(inspector: Inspector, found: _Scored, policy: CalibrationPolicy) -> tuple[Recipe, Prepared]:
    recipe, scores = found.prepared.recipe, found.scores
    source = f"leave-one-out of {recipe.shots} references, Student prediction bound of log scores"
    maps = calibrate(found.pooled, policy, source=source)
    calibration = calibrate(
        scores,
        policy,
        source=source,
        map_threshold=maps.threshold if maps else None,
        scorer=inspector.fingerprint(recipe),
    )
    calibrated = replace(recipe, calibration=calibration)
    return calibrated, found.prepared.with_recipe(calibrated)


def _among(recipe: Recipe, indices: Sequence[int]) -> Recipe:
    """The recipe with these of its references."""
    return replace(recipe, references=tuple(recipe.references[index] for index in indices))


def decide_angles(
    inspector: Inspector, recipe: Recipe, images: Sequence[Image], policy: OrientationPolicy
) -> Recipe:
    """The recipe, with angles if its references show that parts lie in any direction; see :func:`enroll`."""
    return _OrientationFinder(inspector, policy).decide(recipe, images)


class _OrientationFinder:
    """How the parts of one enrollment lie: examined once, then the same for all that is left of them."""

    def __init__(self, inspector: Inspector, policy: OrientationPolicy | None) -> None:
        self._inspector = inspector
        self._policy = policy
        self.found: Orientation | None = None

    def decide(self, recipe: Recipe, images: Sequence[Image]) -> Recipe:
        """The recipe, with angles if its parts lie in any direction."""
        if self._policy is None:
            return recipe
        angles = self._policy.angles_among(recipe.shots)
        if len(angles) == 1 or ANGLES in recipe.parameters or self._inspector.orientations(recipe) != (0.0,):
            return recipe
        if self.found is None:
            self.found = self._find(recipe, images, self._policy)
        return with_angles(recipe, angles) if self.found.is_arbitrary else recipe

    def _find(self, recipe: Recipe, images: Sequence[Image], policy: OrientationPolicy) -> Orientation:
        indices = compared_references(recipe.shots)
        part = [images[index] for index in indices]
        few = _among(self._inspector.comparing(recipe), indices)

        def scores_in(angles: Sequence[float]) -> Sequence[float]:
            prepared = self._inspector.prepare(with_angles(few, angles), part)
            return leave_one_out(self._inspector, prepared, part)[0]

        return find_orientation(len(part), scores_in, policy)


def _select(
    recipe: Recipe,
    images: Sequence[Image],
    policy: SelectionPolicy,
    scored: Callable[[Sequence[int]], _Scored],
) -> tuple[_Scored | None, Selection]:
    """The selection and the scores that it needed, since scoring again may take a minute."""
    found: list[_Scored] = []

    def scores_among(indices: Sequence[int]) -> Sequence[float]:
        found.append(scored(indices))
        return found[-1].scores

    names = [reference.name for reference in recipe.references]
    selection = select(images, names, scores_among, policy)
    return (found[-1] if found else None), selection


def leave_one_out(
    inspector: Inspector, prepared: Prepared, images: Sequence[Image], progress: Progress | None = None
) -> tuple[list[float], list[float]]:
    """The score of each reference against the others, and the pooled value of its map if there is one.

    If a bank holds every patch, the reference's own are masked. A bounded bank keeps only one of similar
    patches, whichever reference it came from. Masking the patches of one reference would leave a gap that
    would not exist if it had not been enrolled, and comparing with all patches would be milder than the bank
    that judges parts. So references are left out in groups, and for each group a bank of the same bound is
    chosen from the others.

    One image has no others: then both lists are empty.
    """
    if len(images) < 2:
        return [], []
    found: dict[int, tuple[float, float | None]] = {}
    for group in _groups(len(images), 1 if prepared.complete else FOLDS):
        without = None if prepared.complete else _without(inspector, prepared, images, group)
        for index in group:
            rest = prepared.without_reference(index) if without is None else without
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
    """At most so many groups of indices. Neighbours, which may show parts made together, are separated."""
    number = min(count, most)
    return [range(first, count, number) for first in range(number)]


def _without(
    inspector: Inspector, prepared: Prepared, images: Sequence[Image], group: Collection[int]
) -> Prepared:
    """The same recipe as if none of the group had been enrolled."""
    rest = [index for index in range(len(images)) if index not in group]
    return inspector.prepare(_among(prepared.recipe, rest), [images[index] for index in rest])
