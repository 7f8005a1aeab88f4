"""enroll(): images of good parts in, a calibrated recipe out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.counting import counting
from agent.enrollment.orientation import (
    ANGLES,
    Orientation,
    OrientationPolicy,
    compared_references,
    describe_change,
    find_orientation,
    with_angles,
)
from agent.enrollment.progress import Progress
from agent.enrollment.selection import Selection, SelectionPolicy, select
from agent.inference.inspector import Inspector
from agent.inference.reference_images import ReferenceImages
from agent.inference.regional import InspectedImages
from agent.inference.tiled import TiledScored, levelled, tiling_of, with_tiles
from agent.methods.batching import require_references
from agent.methods.feature_cache import scoring_references
from agent.methods.maps import pool_map
from agent.methods.prepared import Prepared, Scored

FOLDS = 10
"""If banks are bounded, references are left out in so many groups. A bank from nine tenths of them covers a
part nearly as well as one from all."""

_NAMED = 5
"""A note names at most so many new references."""


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
    first. The recipe then holds the references that are left, and the result names the others. Which of them
    set the threshold, :func:`agent.enrollment.counting.counting` decides.

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
    progress = progress or Progress()
    finder = _OrientationFinder(inspector, orientation, progress)
    images = ReferenceImages.of(images)
    images.need(inspector.reference_side(recipe))

    def scored(indices: Sequence[int]) -> _Scored:
        part = images.only(indices)
        decided = finder.decide(_among(recipe, indices), part)
        return _Scored(tuple(indices), leave_one_out(inspector, decided, part, progress))

    require_references(recipe, images)
    found, chosen = None, None
    if selection is not None and selection.examine:
        # Two images of one part may differ where nothing is inspected, for instance by their clock.
        shown = InspectedImages(images, recipe.regions)
        found, chosen = _select(recipe, shown, selection, scored)
    kept = tuple(range(len(images))) if chosen is None else chosen.kept
    if found is None or found.indices != kept:
        found = scored(kept)
    scores = found.left_out.scores
    counted: Sequence[int] = range(len(scores))
    if selection is not None:
        confirmed = _confirmed(found.left_out.prepared.recipe, selection)
        counted = counting(scores, confirmed, policy, selection)
    calibrated = _calibrated(inspector, found.left_out, policy, counted)
    return Enrolled(*calibrated, tuple(scores), chosen, finder.found)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What references score against the others, each as if it had not been enrolled."""

    prepared: Prepared
    """The recipe with all of them."""
    scores: list[float]
    """In the order of the references; empty if there is only one."""
    pooled: list[float]
    """The pooled values of their maps; empty if the method has no map."""
    tile_levels: tuple[float, ...] = ()
    """The usual score of each tile; empty if the recipe has no tiles."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Some of the images, memorised and scored against each other."""

    indices: tuple[int, ...]
    left_out: LeftOut


def calibrated_anew(
    inspector: Inspector, recipe: Recipe, images: Sequence[Image], policy: CalibrationPolicy
) -> Prepared:
    """The recipe with the threshold of its references' leave-one-out scores, whatever threshold it had.

    Args:
        images: of its references, in their order.
    """
    left_out = leave_one_out(inspector, recipe, images)
    after, again = _calibrated(inspector, left_out, policy, range(len(left_out.scores)))
    if recipe.calibration is None or after.calibration is None:
        return again
    named = replace(after.calibration, label_margin=recipe.calibration.label_margin)
    return again.with_recipe(replace(after, calibration=named))


def describe_version(before: Recipe, after: Recipe) -> str | None:
    """What else changed with the references, for the note of the new version; None if nothing did."""
    turned = describe_change(before, after)
    chosen, now = before.calibration, after.calibration
    lost = None
    if before.origin == "person" and chosen is not None:
        new = "none yet" if now is None else f"{now.threshold:.4g}"
        lost = f"threshold {chosen.threshold:.4g}, which a person had chosen, is replaced by {new}"
    return "; ".join(one for one in (turned, lost) if one) or None


def add_references(
    inspector: Inspector,
    base: Recipe,
    references: Sequence[Reference],
    images: Sequence[Image],
    *,
    policy: CalibrationPolicy,
    earlier: Collection[str] = (),
    orientation: OrientationPolicy | None = None,
) -> Enrolled:
    """``base`` with ``references`` that a person called good, calibrated anew.

    All of them stay, and so do those of ``base``, however unlike each other they are.

    Args:
        base: the version in force; how its parts lie is found again unless a person chose its angles.
        images: of the references of ``base`` and of ``references``, in this order.
        earlier: sha256 of the references of ``base`` that a person had called good.
    """
    together = base.references + tuple(references)
    draft = replace(
        base, references=together, calibration=None, origin="enrollment", id=None, version=0,
        parent=base.version or base.parent, prompt_selection=None,
    )  # fmt: skip
    keep = SelectionPolicy.keeping_all({*earlier, *(one.sha256 for one in references)})
    enrolled = enroll(inspector, draft, images, policy=policy, selection=keep, orientation=orientation)
    names = ", ".join(one.name for one in references[:_NAMED])
    more = f" and {len(references) - _NAMED} more" if len(references) > _NAMED else ""
    note = f"a person called good: {names}{more}"
    also = describe_version(base, enrolled.recipe)
    recipe = replace(enrolled.recipe, note=f"{note}; {also}" if also else note)
    return replace(enrolled, recipe=recipe, prepared=enrolled.prepared.with_recipe(recipe))


def _confirmed(recipe: Recipe, selection: SelectionPolicy) -> list[int]:
    return [index for index, one in enumerate(recipe.references) if one.sha256 in selection.confirmed]


def _calibrated(
    inspector: Inspector, left_out: LeftOut, policy: CalibrationPolicy, counted: Sequence[int]
) -> tuple[Recipe, Prepared]:
    recipe = left_out.prepared.recipe
    tiling = tiling_of(recipe.parameters)
    if tiling.tile_levels != left_out.tile_levels:
        recipe = with_tiles(recipe, replace(tiling, tile_levels=left_out.tile_levels))
    scores = [left_out.scores[index] for index in counted]
    pooled = [left_out.pooled[index] for index in counted] if left_out.pooled else []
    number = f"{len(scores)} of {recipe.shots}" if len(scores) < len(left_out.scores) else str(recipe.shots)
    source = f"leave-one-out of {number} references, Student prediction bound of log scores"
    maps = calibrate(pooled, policy, source=source)
    calibration = calibrate(
        scores,
        policy,
        source=source,
        map_threshold=maps.threshold if maps else None,
        scorer=inspector.fingerprint(recipe),
    )
    calibrated = replace(recipe, calibration=calibration)
    return calibrated, left_out.prepared.with_recipe(calibrated)


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

    def __init__(
        self, inspector: Inspector, policy: OrientationPolicy | None, progress: Progress | None = None
    ) -> None:
        self._inspector, self._progress = inspector, progress or Progress()
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
        part = ReferenceImages.of(images).only(indices)
        few = _among(self._inspector.comparing(recipe), indices)

        def scores_in(angles: Sequence[float]) -> Sequence[float]:
            found = leave_one_out(
                self._inspector, with_angles(few, angles), part, self._progress, ready=False
            )
            return found.scores

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
        return found[-1].left_out.scores

    names = [reference.name for reference in recipe.references]
    selection = select(images, names, scores_among, policy, _confirmed(recipe, policy))
    return (found[-1] if found else None), selection


def leave_one_out(
    inspector: Inspector,
    recipe: Recipe,
    images: Sequence[Image],
    progress: Progress | None = None,
    *,
    ready: bool = True,
) -> LeftOut:
    """The recipe prepared from its references, and the score of each of them against the others.

    If a bank holds every patch, the reference's own are masked. A bounded bank keeps only one of similar
    patches, whichever reference it came from. Masking the patches of one reference would leave a gap that
    would not exist if it had not been enrolled, and comparing with all patches would be milder than the bank
    that judges parts. So references are left out in groups, and what takes the places of a group's patches is
    chosen as the bank itself is (:meth:`agent.methods.coreset.Coreset.substitutes`).

    Tiles are brought to one scale by what they score here (:func:`agent.inference.tiled.levelled`).

    One image has no others: then both lists are empty.

    Args:
        ready: False if only the scores are of interest, and the prepared recipe is to judge no frames.
    """
    images = ReferenceImages.of(images)
    progress = progress or Progress()
    groups = _groups(len(images), FOLDS) if len(images) > 1 else []
    directions = len(inspector.orientations(recipe) or ())
    turned = f", each in {directions} directions" if directions > 1 else ""
    progress.step(f"memorising references{turned}", len(images))
    prepared = inspector.prepare(recipe, images.reporting(progress), groups)
    if prepared.complete and groups:
        groups = _groups(len(images), len(images))
    progress.step("comparing each reference with the others", len(images))
    found: dict[int, tuple[Scored, float | None]] = {}
    with scoring_references():
        for group in groups:
            rest = prepared.without(group)
            for index in group:
                found[index] = _scored(inspector, images[index], rest)
                progress.advance()
    ordered = [found[index] for index in range(len(found))]
    if ready:
        prepared = prepared.without_groups()
    tiled = [scored for scored, _ in ordered if isinstance(scored, TiledScored)]
    if tiled and len(tiled) == len(images):
        all_tiles = levelled(tiled)
        return LeftOut(prepared, all_tiles.scores, all_tiles.pooled, all_tiles.levels)
    return LeftOut(
        prepared,
        [scored.score for scored, _ in ordered],
        [pooled for _, pooled in ordered if pooled is not None],
    )


def _scored(inspector: Inspector, image: Image, prepared: Prepared) -> tuple[Scored, float | None]:
    """The score of an image, and the pooled value of its map if there is one."""
    scored, pooled = inspector.score([image], [prepared])[0], None
    if scored.anomaly_map is not None:
        pooled = float(pool_map(scored.anomaly_map.unsqueeze(0), prepared.pool_fraction))
    return replace(scored, anomaly_map=None, patches=None), pooled


def _groups(count: int, most: int) -> list[range]:
    """At most so many groups of indices. Neighbours, which may show parts made together, are separated."""
    number = min(count, most)
    return [range(first, count, number) for first in range(number)]
