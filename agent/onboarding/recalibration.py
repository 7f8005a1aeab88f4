"""Thresholds that sharpen: what production tells of good parts joins the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from agent.calibration.feedback_weights import WeightedScores, tell
from agent.calibration.recalibrate import MOST_FRAMES, from_what, recalibrate
from agent.domain.calibration import Calibration
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.enroll import leave_one_out
from agent.onboarding.context import OnboardingContext
from agent.ports.samples import JudgedScore

LEAST_NEW = 5
"""So many frames since the last version, or this share of what that was set from: versions are for people."""
LEAST_SHARE = 0.5

_MOST_KEPT = 1024
"""Products whose leave-one-out scores are kept from one round to the next."""


class Recalibration:
    """Sets thresholds anew, each as a version of its own with an event; never silently."""

    def __init__(self, office: OnboardingContext) -> None:
        self._office = office
        self._scores: dict[str, tuple[tuple[tuple[Reference, ...], str], list[float]]] = {}

    def run(self) -> None:
        """Look at every product that has a recipe. Raises StorageError."""
        for sku in self._office.samples.skus_with_recipe():
            if not self._office.closing.is_set():
                self._office.guarded("recalibration", sku, partial(self._renew, sku))

    def _renew(self, sku: str) -> None:
        self.renew(sku)

    def renew(self, sku: str) -> Recipe | None:
        """The next version of ``sku`` where production tells of another threshold, else None.

        A frame counts under the versions whose scores can be compared with the active one's: those that
        differ in the threshold alone; the newest :data:`~agent.calibration.recalibrate.MOST_FRAMES` of them. A frame was
        never in the bank, while a reference is scored against one that lacks only itself, so both are scores
        of unseen good parts. A threshold that is right to within its error stands (:func:`recalibrate`), and so
        does one that a person chose, until a person changes it.

        Raises SightlineError.
        """
        office = self._office
        active = office.book.active(sku)
        if active is None or active.origin == "person" or office.cabinet.foreign(active):
            return None
        versions = self._lineage(active)
        judged = office.samples.judged(sku, list(versions), MOST_FRAMES)
        # Where a version has a threshold that was not in force, other weights gave the score.
        frames = [one for one in judged if (one.threshold is None) == (versions[one.recipe_version] is None)]
        known = active.calibration.samples if active.calibration is not None else 0
        new = sum(one.recipe_version == active.version for one in frames)
        if new < max(LEAST_NEW, LEAST_SHARE * min(known, MOST_FRAMES)):
            return None
        return self._reconsider(active, frames)

    def _lineage(self, active: Recipe) -> dict[int, Calibration | None]:
        """The active version and those before it that differ in the threshold alone."""
        versions, one = {active.version: active.calibration}, active
        while one.origin == "recalibration" and one.parent is not None:
            parent = self._office.book.get(one.sku, one.parent)
            if parent is None:
                break
            versions[parent.version] = parent.calibration
            one = parent
        return versions

    def _reconsider(self, active: Recipe, frames: Sequence[JudgedScore]) -> Recipe | None:
        office = self._office
        told = tell(frames, office.policy)
        if not told.judged:
            return None
        calibration = recalibrate(
            self._leave_one_out(active),
            told,
            office.policy,
            before=active.calibration,
            scorer=office.inspector.fingerprint(active),
        )
        return None if calibration is None else self._store(active, calibration, told)

    def _leave_one_out(self, active: Recipe) -> list[float]:
        """Scores of the references, computed once for as long as these and the scorer are the same."""
        office = self._office
        parameters = repr(sorted(active.parameters.items()))  # a person may bring in others
        key = (active.references, f"{office.inspector.fingerprint(active)} {parameters}")
        kept = self._scores.get(active.sku)
        if kept is not None and kept[0] == key:
            return kept[1]
        images = office.cabinet.images(active.references)
        scores, _ = leave_one_out(office.inspector, office.inspector.prepare(active, images), images)
        self._scores[active.sku] = (key, scores)
        while len(self._scores) > _MOST_KEPT:
            self._scores.pop(next(iter(self._scores)))
        return scores

    def _store(self, active: Recipe, calibration: Calibration, told: WeightedScores) -> Recipe | None:
        office, before = self._office, active.calibration
        old = f"from {before.threshold:.4g}" if before is not None else "for the first time"
        note = f"threshold set {old} to {calibration.threshold:.4g}, {from_what(active.shots, told)}"
        draft = replace(
            active,
            calibration=calibration,
            origin="recalibration",
            note=note,
            parent=active.version,
            id=None,
            version=0,
        )
        prepared = office.inspector.prepare(active, office.cabinet.images(active.references))
        if office.book.active_version(active.sku) != active.version:
            return None  # somebody activated another one meanwhile; the next round looks at that
        recipe = office.book.add(draft)
        office.cabinet.put(prepared.with_recipe(recipe))
        office.tell("recalibration", f"{active.sku!r} version {recipe.version}: {note}", active.sku)
        return recipe
