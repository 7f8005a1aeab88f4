"""Onboarding: a SKU that was never met gets its recipe, and references become a better one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from agent.domain.errors import StorageError
from agent.domain.frame import Image, Job
from agent.domain.recipe import Recipe, Reference, generic_recipe
from agent.onboarding.commissioning import Commissioning
from agent.onboarding.context import OnboardingContext
from agent.onboarding.describer import Describer
from agent.onboarding.frame_buffer import FrameBuffer
from agent.onboarding.recalibration import Recalibration
from agent.onboarding.rescoring import Rescoring
from agent.onboarding.versions import RecipeVersions
from agent.ports import OnboardingState, PromptWriter, Scheduler, Tagger

logger = logging.getLogger(__name__)

COMMISSION_EVERY_S = 5.0
DUE_EVERY_S = 30.0
"""How often products are looked for whose next attempt is due, or whose agent was stopped."""


class OnboardingCoordinator:
    """Writes recipes beside the line. Nothing here is in the path of a frame.

    Two threads work: one prepares and tries recipes on the device, the other waits for the language model.
    """

    def __init__(
        self,
        office: OnboardingContext,
        schedule: Scheduler,
        *,
        writer: PromptWriter | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        self._office = office
        self._schedule = schedule
        self._recipes = ThreadPoolExecutor(max_workers=1, thread_name_prefix="onboarding")
        self._asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="describing")
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._met: set[str] = set()
        self._waiting: set[str] = set()
        self._looked: dict[str, tuple[tuple[str, ...], int]] = {}
        self._bare: frozenset[str] = frozenset()
        self._frames = FrameBuffer(office.options.first_frames)
        self._enrolling = RecipeVersions(office)
        self._recalibration = Recalibration(office)
        self._rescoring = Rescoring(office, self._on_recipes)
        self._commissioning = Commissioning(office, self._schedule_enrollment)
        self._writing = (
            Describer(office, writer, tagger, self._frames, self._enrolling, self._on_recipes)
            if writer is not None
            else None
        )

    def start(self) -> None:
        """Take up what the last stop left half done: SKUs without a recipe, references in none, claims."""
        for job in self._office.book.without_recipe():
            self._on_recipes("onboarding", job.sku, partial(self._first_recipe, job))
        for sku in self._office.book.skus_with_held_references():
            self._schedule_enrollment(sku)
        self._rescoring.start()
        options, schedule = self._office.options, self._schedule
        schedule.every("held references", DUE_EVERY_S, self._take_up_forgotten)
        schedule.every("first recipes", DUE_EVERY_S, self._take_up_bare)
        if self._writing is not None:
            schedule.every("onboarding", DUE_EVERY_S, self._take_up)
            schedule.later("onboarding at start", 0.0, self._resume)
        if options.commission:
            run = partial(self._on_recipes, "commissioning", None, self._commissioning.run)
            schedule.every("commissioning", COMMISSION_EVERY_S, run)
        if options.recalibrate_s:
            run = partial(self._on_recipes, "recalibration", None, self._recalibration.run)
            schedule.every("recalibration", options.recalibrate_s, run)

    def settled(self, timeout_s: float | None = None) -> None:
        """Wait until what was handed to the thread of recipes so far is done."""
        self._recipes.submit(lambda: None).result(timeout_s)

    def close(self) -> None:
        """Finish what is under way and stop. References not yet enrolled wait in the database."""
        self._office.closing.set()
        self._arrived.set()
        self._frames.close()
        if self._writing is not None:
            self._writing.close()
        self._asking.shutdown(wait=True, cancel_futures=True)
        self._recipes.shutdown(wait=True, cancel_futures=True)

    # ------------------------------------------------------------------------------- what comes in

    def meet(self, job: Job) -> None:
        """A SKU was named. The first of all agents to meet it writes its recipe. Raises StorageError."""
        told = job.name is not None or job.description is not None
        with self._lock:
            if job.sku in self._met and not told:
                return
        office = self._office
        before = office.book.job(job.sku) if told else None
        first = office.book.register(job)
        if self._writing is not None and (first or job.sku not in self._met) and self._undescribed(job.sku):
            self._frames.want(job.sku)
        with self._lock:
            self._met.add(job.sku)  # only now: where the database refused, it is asked again
        if first:
            self._on_recipes("onboarding", job.sku, partial(self._first_recipe, job))
        elif before is not None and _news(before, job):
            self._on_recipes("onboarding", job.sku, partial(self._name, job))

    def _undescribed(self, sku: str) -> bool:
        record = self._office.desk.record(sku)
        return record is None or record.state in (OnboardingState.WAITING, OnboardingState.CLAIMED)

    def observe(self, sku: str, image: Image) -> None:
        """A frame of ``sku`` was decoded. Cheap: most are not wanted."""
        self._frames.observe(sku, image)

    def refer(self, sku: str, reference: Reference) -> None:
        """A reference of ``sku`` came in. It is safe in the database when this returns."""
        self.meet(Job(sku))
        self._office.book.hold_reference(sku, reference)
        self._schedule_enrollment(sku)

    # ---------------------------------------------------------------------------------- the threads

    def _take_up_forgotten(self) -> None:
        """References that came by a command, or to an agent that was stopped.

        What is unchanged since the last look is nobody else's work under way; what could not be enrolled is
        not tried again, and told again, until another reference joins it or the agent is started anew.
        """
        book, before = self._office.book, self._looked
        self._looked = {}
        for sku in book.skus_with_held_references():
            held = tuple(reference.sha256 for reference in book.held_references(sku))
            seen, looks = before.get(sku, ((), 0))
            looks = looks + 1 if seen == held else 1
            self._looked[sku] = (held, looks)
            if looks == 2:
                self._schedule_enrollment(sku)

    def _take_up_bare(self) -> None:
        """Products that were without a recipe at the last look too: storage went away as they were met."""
        jobs = self._office.book.without_recipe()
        for job in jobs:
            if job.sku in self._bare:
                self._on_recipes("onboarding", job.sku, partial(self._first_recipe, job))
        self._bare = frozenset(job.sku for job in jobs)

    def _on_recipes(self, task: str, sku: str | None, work: Callable[[], None]) -> None:
        self._recipes.submit(self._office.guarded, task, sku, work)

    def _schedule_enrollment(self, sku: str) -> None:
        self._arrived.set()
        with self._lock:
            if sku in self._waiting:
                return
            self._waiting.add(sku)
        self._on_recipes("enrollment", sku, partial(self._enroll_held, sku))

    def _enroll_held(self, sku: str) -> None:
        # `waiting` is cleared before the rows are read: a reference that comes in from here on
        # schedules a task of its own, one that came before is read below.
        options, closing = self._office.options, self._office.closing
        patience = time.monotonic() + options.patience_s
        while not closing.is_set() and time.monotonic() < patience and self._arrived.wait(options.quiet_s):
            self._arrived.clear()
        with self._lock:
            self._waiting.discard(sku)
        if not closing.is_set():
            self._enrolling.take_up_held(sku)

    # ------------------------------------------------------------------------------ the first words

    def _first_recipe(self, job: Job) -> None:
        office = self._office
        if office.book.active_version(job.sku) is None:
            self._store_template(job.sku, f"first recipe of {job.sku!r}, from the template prompts")
        if self._writing is not None:
            office.desk.request(job.sku, office.clock(), "met for the first time")
            self._describe(job.sku)

    def _name(self, job: Job) -> None:
        """A product that had no name, or another one, is called by it from now on."""
        office = self._office
        active = office.book.active(job.sku)
        if active is not None and active.prompts.source == "template" and active.noun != office.noun(job.sku):
            self._rename(active, office.noun(job.sku))
        if self._writing is not None:
            office.desk.request(job.sku, office.clock(), "its name or description has changed")
            self._describe(job.sku)

    def _rename(self, active: Recipe, noun: str) -> None:
        office = self._office
        template = generic_recipe(active.sku, active.method, noun)
        named = replace(active, noun=noun, prompts=template.prompts, origin="template")
        recipe = self._enrolling.activate_new(replace(named, note=f"the product is called {noun!r} now"))
        office.tell("recipe", f"{active.sku!r} is called {noun!r}: version {recipe.version}", active.sku)

    def _store_template(self, sku: str, message: str) -> None:
        office = self._office
        note = None if self._writing is None else "the template, until the language model has answered"
        template = generic_recipe(sku, office.options.method, office.noun(sku))
        self._enrolling.activate_new(replace(template, note=note))
        office.tell("recipe", message, sku)

    def _describe(self, sku: str) -> None:
        if self._writing is None or self._office.closing.is_set():
            return
        self._frames.want(sku)
        try:
            self._asking.submit(self._office.guarded, "description", sku, partial(self._writing.write, sku))
        except RuntimeError:  # the executor was shut down since: the row stays, and so does the work
            logger.info("the description of %r waits for the next start", sku)

    def _resume(self) -> None:
        """What this agent had claimed when it was killed is its own to do, and waits for no lease."""
        office = self._office
        try:
            left = office.desk.take_back(office.agent, office.clock())
        except StorageError as error:
            logger.warning("what was claimed before the start cannot be read: %s", error)
        else:
            if left:
                logger.info("taking up what the last stop left undescribed: %s", ", ".join(map(repr, left)))
        self._take_up()

    def _take_up(self) -> None:
        """Whatever is due: later attempts, and what an agent that was stopped had claimed."""
        try:
            due = self._office.desk.due(self._office.clock())
        except StorageError as error:
            logger.warning("what is due for onboarding cannot be read: %s", error)
            return
        for sku in due:
            self._describe(sku)


def _news(before: Job, job: Job) -> bool:
    """Whether the job tells a name or description that was not known."""
    return any(
        getattr(job, told) is not None and getattr(job, told) != getattr(before, told)
        for told in ("name", "description")
    )
