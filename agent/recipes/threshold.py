"""choose_threshold(): a threshold that a person chose becomes the next version of a recipe.

A file of its own: the command line imports it when it starts, and nothing here loads a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from agent.calibration.proposal import with_threshold
from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.recipe import Recipe
from agent.ports import RecipeBook

FARTHEST = 20.0
"""A threshold so many times the one before, and above 1, is a slip such as 30 for 0.30: scores lie between 0
and a few units, and defective parts seldom have twenty times the threshold."""

ANYBODY = "a person"


@dataclass(frozen=True, slots=True)
class ChosenThreshold:
    """What the choice of a threshold changed."""

    before: Recipe
    recipe: Recipe
    """The version that is active now."""

    @property
    def new(self) -> bool:
        """False if the threshold was the same already: nothing was written."""
        return self.recipe.version != self.before.version


def choose_threshold(
    book: RecipeBook, sku: str, threshold: float, review_below: float | None = None, by: str | None = None
) -> ChosenThreshold:
    """Store the active recipe of ``sku`` with another threshold as its next version, and activate it.

    Memory, words and the threshold of the map stay. The origin of the version is ``person``, so no
    recalibration replaces the threshold. A repeated call writes nothing.

    Args:
        threshold: a score above this FAILs.
        review_below: scores from here up to the threshold are REVIEW; equal to the threshold: none are. By
            default the margin stays as wide in proportion.
        by: who chose it, for the note and the rows.

    Raises:
        RecipeError: there is no calibrated recipe, or the values cannot be scores or are in the wrong order.
        StorageError: the database refused.
    """
    active = book.active(sku)
    if active is None:
        raise RecipeError(
            f"there is no active recipe of {sku!r}; `sightline recipe list` names what there is"
        )
    before = active.calibration
    if before is None:
        raise RecipeError(
            f"version {active.version} of {sku!r} has no threshold that could be changed; enroll at least "
            "eight good parts first (`sightline enroll`)"
        )
    who = by or ANYBODY
    chosen = _calibration(before, threshold, review_below, who)
    if (chosen.threshold, chosen.review_below) == (before.threshold, before.review_below):
        return ChosenThreshold(active, active)
    note = (
        f"threshold set by {who} from {before.threshold:.4g} (REVIEW from {before.review_below:.4g}) to "
        f"{chosen.threshold:.4g} (REVIEW from {chosen.review_below:.4g})"
    )
    draft = replace(
        active,
        calibration=chosen,
        origin="person",
        note=note,
        parent=active.version,
        prompt_selection=None,
        id=None,
        version=0,
    )
    return ChosenThreshold(active, book.add(draft))


def _calibration(before: Calibration, threshold: float, review_below: float | None, who: str) -> Calibration:
    _check("the threshold", threshold, before)
    if review_below is not None:
        _check("--review (`review`)", review_below, before)
        if review_below > threshold:
            raise RecipeError(
                f"REVIEW from {review_below:g} on is above the threshold {threshold:g}, from where parts "
                "FAIL; name a lower value for REVIEW, or exchange the two"
            )
    moved = with_threshold(before, threshold)
    if review_below is not None:
        moved = replace(moved, review_below=review_below)
    return replace(moved, source=f"chosen by {who}, before it {before.threshold:.4g}")


def _check(name: str, value: float, before: Calibration) -> None:
    highest = max(1.0, FARTHEST * before.threshold)
    if not math.isfinite(value) or value <= 0.0:
        raise RecipeError(f"{name} is a score above 0, not {value:g}")
    if value > highest:
        raise RecipeError(
            f"{name} is {value:g}, and no score of this product comes near that: the threshold is "
            f"{before.threshold:.4g} now; name a score as the verdicts have it, at most {highest:g}"
        )
