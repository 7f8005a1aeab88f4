"""Recalibration: thresholds are set again from the references and from frames judged in production."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from agent.calibration.feedback_weights import WeightedScores, weigh_feedback
from agent.calibration.recalibrate import MOST_FRAMES, describe_sources, recalibrate
from agent.domain.calibration import Calibration
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.counting import counting
from agent.enrollment.enroll import leave_one_out
from agent.onboarding.context import OnboardingContext
from agent.onboarding.task_thread import TaskThread
from agent.ports.samples import JudgedScore

LEAST_NEW = 5
"""A new version needs at least so many frames since the last one: people read the versions."""
LEAST_SHARE = 0.5
"""It also needs this share of the frames that the last one was set from."""

_MOST_KEPT = 1024
"""Leave-one-out scores of so many products are kept from one round to the next."""


class Recalibration:
    """Sets thresholds again. Each change is a version of its own, with an event."""

    def __init__(self, context: OnboardingContext, recipe_tasks: TaskThread) -> None:
        self._context = context
        self._recipe_tasks = recipe_tasks
        self._scores: dict[str, tuple[tuple[tuple[Reference, ...], str], list[float]]] = {}

    def run(self) -> None:
        """Renew the threshold of every product that needs it. Runs as a recipe task. Raises StorageError."""
        for sku in self._context.samples.skus_with_recipe():
            if not self._context.closing.is_set():
                self._recipe_tasks.run("recalibration", sku, partial(self._renew, sku))

    def _renew(self, sku: str) -> None:
        self.renew(sku)

    def renew(self, sku: str) -> Recipe | None:
        """The next version of ``sku`` if judged frames give another threshold, otherwise None.

        A frame counts if the version that judged it differs from the active one in the threshold alone, so
        that scores can be compared; at most the newest :data:`~agent.calibration.recalibrate.MOST_FRAMES`. A
        frame was never in the bank, and a reference is scored against a bank without itself, so both are
        scores of unseen good parts. A threshold that is right within its error stands (:func:`recalibrate`).
        So does one that a person chose, until a person changes it.

        Raises SightlineError.
        """
        context = self._context
        active = context.book.active(sku)
        if active is None or active.origin == "person" or context.recipe_cache.has_other_scorer(active):
            return None
        versions = self._lineage(active)
        judged = context.samples.judged(sku, list(versions), MOST_FRAMES)
        # If a version has a threshold that was not in force, the score came from other weights.
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
            parent = self._context.book.get(one.sku, one.parent)
            if parent is None:
                break
            versions[parent.version] = parent.calibration
            one = parent
        return versions

    def _reconsider(self, active: Recipe, frames: Sequence[JudgedScore]) -> Recipe | None:
        context = self._context
        judged = weigh_feedback(frames, context.policy)
        if not judged.frames:
            return None
        calibration = recalibrate(
            self._leave_one_out(active),
            judged,
            context.policy,
            before=active.calibration,
            scorer=context.inspector.fingerprint(active),
        )
        return None if calibration is None else self._store(active, calibration, judged)

    def _leave_one_out(self, active: Recipe) -> list[float]:
        """Scores of the references, computed again only if these or the scorer changed."""
        context = self._context
        parameters = repr(sorted(active.parameters.items()))  # an imported recipe may have others
        key = (active.references, f"{context.inspector.fingerprint(active)} {parameters}")
        kept = self._scores.get(active.sku)
        if kept is not None and kept[0] == key:
            return kept[1]
        images = context.recipe_cache.images(active.references)
        scores = leave_one_out(context.inspector, active, images).scores
        good = context.confirmed(active.references)
        confirmed = [index for index, one in enumerate(active.references) if one.sha256 in good]
        scores = [scores[i] for i in counting(scores, confirmed, context.policy, context.selection)]
        self._scores[active.sku] = (key, scores)
        while len(self._scores) > _MOST_KEPT:
            self._scores.pop(next(iter(self._scores)))
        return scores

    def _store(self, active: Recipe, calibration: Calibration, judged: WeightedScores) -> Recipe | None:
        context, before = self._context, active.calibration
        old = f"from {before.threshold:.4g}" if before is not None else "for the first time"
        note = f"threshold set {old} to {calibration.threshold:.4g}, {describe_sources(active.shots, judged)}"
        draft = replace(
            active,
            calibration=calibration,
            origin="recalibration",
            note=note,
            parent=active.version,
            id=None,
            version=0,
        )
        prepared = context.inspector.prepare(active, context.recipe_cache.images(active.references))
        if context.book.active_version(active.sku) != active.version:
            return None  # a person activated another one meanwhile: the next round uses that
        recipe = context.book.add(draft)
        context.recipe_cache.put(prepared.with_recipe(recipe))
        context.report("recalibration", f"{active.sku!r} version {recipe.version}: {note}", active.sku)
        return recipe
