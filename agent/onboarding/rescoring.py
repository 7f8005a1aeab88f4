"""Rescoring: under other weights, references are memorised again and thresholds are set from them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agent.domain.calibration import Calibration
from agent.domain.recipe import Recipe
from agent.domain.regions import Regions
from agent.enrollment.enroll import enroll
from agent.enrollment.selection import SelectionPolicy
from agent.methods import find_method
from agent.onboarding.context import OnboardingContext
from agent.onboarding.naming import name_defects
from agent.onboarding.task_thread import TaskThread

_TASK = "recalibration"


class Rescoring:
    """Gives recipes whose threshold another scorer set a threshold of their own.

    A scorer is a method with its weights and parameters, and the regions of a recipe. If an agent starts with
    another scorer, each active recipe gets a new version, with an event: a threshold never changes silently.
    Products that are inspected meanwhile come first. A recipe that comes later, for instance from a file or
    with other regions, follows with its first frame. Each product has only one turn with its regions until
    the agent is restarted: otherwise two agents of different weights on one database would replace each
    other's thresholds for ever.
    """

    def __init__(self, context: OnboardingContext, recipe_tasks: TaskThread) -> None:
        self._context = context
        self._recipe_tasks = recipe_tasks
        self._left: deque[str] = deque()
        self._queued: set[str] = set()
        self._done: set[tuple[str, Regions]] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Rescore all active recipes that need it, and from now on those that the recipe cache requests."""
        if not find_method(self._context.options.method).inspects:
            return  # it replaces every method in order to measure the agent; its scores mean nothing
        self._context.recipe_cache.rescoring = self
        self._submit(None, self._find_all)

    def request(self, recipe: Recipe) -> None:
        """Rescore ``recipe`` soon, since its threshold does not apply. Any thread may call."""
        sku = recipe.sku
        with self._lock:
            if sku in self._queued or (sku, recipe.regions) in self._done:
                return
            self._queued.add(sku)
        self._submit(sku, partial(self._renew_requested, sku))

    def renew(self, sku: str) -> Recipe | None:
        """The next version of ``sku`` if another scorer set its threshold, otherwise None.

        The threshold comes from the references alone. Scores of judged frames, and a threshold that a person
        chose, are numbers of the other scorer. With too few references for a threshold there is no new
        version: the active one is right again if the other weights come back.

        Raises SightlineError.
        """
        context = self._context
        active = context.book.active(sku)
        if active is None or active.calibration is None or not active.references:
            return None
        if not context.recipe_cache.has_other_scorer(active):
            return None
        images = context.recipe_cache.images(active.references)
        draft = replace(
            active, calibration=None, origin="enrollment", id=None, version=0, parent=active.version
        )
        keep = SelectionPolicy.keeping_all(context.confirmed(active.references))
        enrolled = enroll(context.inspector, draft, images, policy=context.policy, selection=keep)
        enrolled = name_defects(context.inspector, enrolled, images)
        calibration = enrolled.recipe.calibration
        if calibration is None:
            context.report(_TASK, _too_few(active, context.policy.minimum_samples), sku, severity="warning")
            self._mark_done(active)
            return None
        if context.book.active_version(sku) != active.version:
            return None  # a person activated another one meanwhile, which has its own turn
        note = _note(active, active.calibration, calibration)
        recipe = context.book.add(replace(enrolled.recipe, note=note))
        context.recipe_cache.put(enrolled.prepared.with_recipe(recipe))
        self._mark_done(active)
        severity = "warning" if active.origin == "person" else "info"
        context.report(_TASK, f"{sku!r} version {recipe.version}: {note}", sku, severity=severity)
        return recipe

    def _mark_done(self, recipe: Recipe) -> None:
        with self._lock:
            self._done.add((recipe.sku, recipe.regions))

    def _renew_requested(self, sku: str) -> None:
        with self._lock:
            self._queued.discard(sku)
        self.renew(sku)

    def _find_all(self) -> None:
        """All recipes that may need it, one after the other; requests that come meanwhile go in between."""
        listed = self._context.book.listing()
        self._left = deque(
            one.sku for one in listed if one.active and one.shots and one.threshold is not None
        )
        self._submit_next()

    def _submit_next(self) -> None:
        if self._left:
            sku = self._left.popleft()
            self._submit(sku, partial(self._renew_listed, sku))
            self._submit(None, self._submit_next)

    def _renew_listed(self, sku: str) -> None:
        active = self._context.book.active(sku)
        with self._lock:
            done = active is None or (sku, active.regions) in self._done
        if not done:
            self.renew(sku)

    def _submit(self, sku: str | None, work: Callable[[], None]) -> None:
        if not self._context.closing.is_set():
            self._recipe_tasks.submit(_TASK, sku, work)


def _note(active: Recipe, before: Calibration, now: Calibration) -> str:
    person = ", which a person had chosen," if active.origin == "person" else ""
    lost = before.samples - active.shots
    judged = f"; {lost} judged frames no longer count" if lost > 0 and not person else ""
    return (
        f"other weights, parameters or regions: {active.shots} references memorised anew, threshold set from "
        f"{before.threshold:.4g}{person} to {now.threshold:.4g}{judged}"
    )


def _too_few(active: Recipe, least: int) -> str:
    return (
        f"the threshold of {active.sku!r} version {active.version} was set with other weights, parameters or "
        f"regions, and {active.shots} references are too few for another: its verdicts are REVIEW until it "
        f"has {least}"
    )
