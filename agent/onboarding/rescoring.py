"""Recipes go on under other weights: references are memorised anew, and thresholds set anew from them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agent.domain.calibration import Calibration
from agent.domain.recipe import Recipe
from agent.enrollment.enroll import enroll
from agent.onboarding.context import OnboardingContext

logger = logging.getLogger(__name__)

_TASK = "recalibration"

OnRecipes = Callable[[str, str | None, Callable[[], None]], None]
"""Hands a task over to the thread that owns recipes: task, SKU, work."""


class Rescoring:
    """Gives recipes whose threshold belongs to another scorer one of their own.

    A scorer is a method with its weights and parameters. Where an agent starts with another one, each active
    recipe gets a version of its own, with an event: a threshold never changes silently. Products that are
    inspected meanwhile come first. A recipe that comes later, from a file for instance, has its turn when its
    first frame does, but each product only once until the agent is started anew: two agents of different
    weights on one database would else replace each other's thresholds for ever.
    """

    def __init__(self, office: OnboardingContext, on_recipes: OnRecipes) -> None:
        self._office = office
        self._on_recipes = on_recipes
        self._left: deque[str] = deque()
        self._queued: set[str] = set()
        self._done: set[str] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Look at all recipes in force, and from now on at those that the line meets."""
        if self._office.options.method == "null":
            return  # it stands in place of every method, to measure the agent; its scores mean nothing
        self._office.cabinet.when_foreign(self.meet)
        self._hand_over(None, self._look)

    def meet(self, sku: str) -> None:
        """The line inspects ``sku`` by a recipe whose threshold does not apply."""
        with self._lock:
            if sku in self._queued or sku in self._done:
                return
            self._queued.add(sku)
        self._hand_over(sku, partial(self._renew_met, sku))

    def renew(self, sku: str) -> Recipe | None:
        """The next version of ``sku`` where its threshold belongs to another scorer, else None.

        The threshold comes from the references alone: scores of frames that were judged, and a threshold
        that a person chose, are numbers of the other scorer. With too few references for a threshold there is
        no version: the one in force would be right again where the other weights come back.

        Raises SightlineError.
        """
        office = self._office
        active = office.book.active(sku)
        if active is None or active.calibration is None or not active.references:
            return None
        if not office.cabinet.foreign(active):
            return None
        images = office.cabinet.images(active.references)
        draft = replace(
            active, calibration=None, origin="enrollment", id=None, version=0, parent=active.version
        )
        enrolled = enroll(office.inspector, draft, images, policy=office.policy)
        calibration = enrolled.recipe.calibration
        if calibration is None:
            office.tell(_TASK, _too_few(active, office.policy.minimum_samples), sku, severity="warning")
            self._settled(sku)
            return None
        if office.book.active_version(sku) != active.version:
            return None  # somebody activated another one meanwhile, which has its own turn
        note = _note(active, active.calibration, calibration)
        recipe = office.book.add(replace(enrolled.recipe, note=note))
        office.cabinet.put(enrolled.prepared.with_recipe(recipe))
        self._settled(sku)
        severity = "warning" if active.origin == "person" else "info"
        office.tell(_TASK, f"{sku!r} version {recipe.version}: {note}", sku, severity=severity)
        return recipe

    def _settled(self, sku: str) -> None:
        with self._lock:
            self._done.add(sku)

    def _renew_met(self, sku: str) -> None:
        with self._lock:
            self._queued.discard(sku)
        self.renew(sku)

    def _look(self) -> None:
        """All that may need it, one after the other; whatever comes meanwhile gets in between."""
        listed = self._office.book.listing()
        self._left = deque(
            one.sku for one in listed if one.active and one.shots and one.threshold is not None
        )
        self._next()

    def _next(self) -> None:
        if self._left:
            sku = self._left.popleft()
            self._hand_over(sku, partial(self._renew_listed, sku))
            self._hand_over(None, self._next)

    def _renew_listed(self, sku: str) -> None:
        with self._lock:
            done = sku in self._done
        if not done:
            self.renew(sku)

    def _hand_over(self, sku: str | None, work: Callable[[], None]) -> None:
        if self._office.closing.is_set():
            return
        try:
            self._on_recipes(_TASK, sku, work)
        except RuntimeError:  # the thread was shut down since: the next start does it
            logger.info("thresholds of other weights wait for the next start")


def _note(active: Recipe, before: Calibration, now: Calibration) -> str:
    person = ", which a person had chosen," if active.origin == "person" else ""
    lost = before.samples - active.shots
    judged = f"; {lost} judged frames no longer count" if lost > 0 and not person else ""
    return (
        f"other weights or parameters: {active.shots} references memorised anew, threshold set from "
        f"{before.threshold:.4g}{person} to {now.threshold:.4g}{judged}"
    )


def _too_few(active: Recipe, least: int) -> str:
    return (
        f"the threshold of {active.sku!r} version {active.version} was set with other weights or parameters, "
        f"and {active.shots} references are too few for another: its verdicts are REVIEW until it has {least}"
    )
