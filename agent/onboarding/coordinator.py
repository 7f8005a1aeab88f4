"""OnboardingCoordinator: a new SKU gets its recipe, references make it better, thresholds stay up to date."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from agent.domain.errors import StorageError
from agent.domain.frame import Camera, Image, Job
from agent.domain.names import differs_by_case, older_spellings
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.enrollment.confirmed_frames import confirmed_references
from agent.inference.regional import blanked
from agent.onboarding.context import OnboardingContext
from agent.onboarding.describer import Describer
from agent.onboarding.frame_buffer import FrameBuffer
from agent.onboarding.language_model import EVERY_S as LOOK_EVERY_S
from agent.onboarding.language_model import LanguageModelMonitor
from agent.onboarding.recalibration import Recalibration
from agent.onboarding.references import Commissioning, ReferenceEnrollment
from agent.onboarding.rescoring import Rescoring
from agent.onboarding.task_thread import TaskThread
from agent.onboarding.versions import RecipeVersions
from agent.ports import OnboardingState, PromptWriter, Scheduler, Tagger

logger = logging.getLogger(__name__)

COMMISSION_EVERY_S = 5.0
DUE_EVERY_S = 30.0
"""How often the coordinator looks for products whose next attempt is due, or whose agent was stopped."""


class OnboardingCoordinator:
    """Writes recipes beside the pipeline. No frame waits for anything here.

    Two threads work: ``recipe_tasks`` prepares and tries recipes on the device, ``describing`` waits for the
    language model.
    """

    def __init__(
        self,
        context: OnboardingContext,
        schedule: Scheduler,
        *,
        writer: PromptWriter | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        self._context = context
        self._schedule = schedule
        self._lock = threading.Lock()
        self._registered: set[str] = set()
        self._older_spellings: dict[str, str] | None = None
        self._without_recipe: frozenset[str] = frozenset()
        self._recipe_tasks = TaskThread(context, "onboarding")
        self._describing = TaskThread(context, "describing")
        self._frames = FrameBuffer(context.options.first_frames)
        self._versions = RecipeVersions(context)
        self._enrollment = ReferenceEnrollment(context, self._recipe_tasks, self._versions)
        self._commissioning = Commissioning(context, self._enrollment)
        self._recalibration = Recalibration(context, self._recipe_tasks)
        self._rescoring = Rescoring(context, self._recipe_tasks)
        self._describer: Describer | None = None
        if writer is not None:
            self._language_model = LanguageModelMonitor(context, writer)
            self._describer = Describer(
                context,
                writer,
                tagger,
                self._language_model,
                frames=self._frames,
                versions=self._versions,
                recipe_tasks=self._recipe_tasks,
            )

    def start(self) -> None:
        """Take up what the last stop left: SKUs without a recipe, references in no recipe, claims.

        Raises StorageError.
        """
        for job in self._context.book.without_recipe():
            self._recipe_tasks.submit("onboarding", job.sku, partial(self._make_first_recipe, job))
        self._enrollment.schedule_all()
        self._rescoring.start()
        options, schedule = self._context.options, self._schedule
        schedule.every("held references", DUE_EVERY_S, self._enrollment.schedule_forgotten)
        schedule.every("first recipes", DUE_EVERY_S, self._make_missing_recipes)
        if self._describer is not None:
            schedule.every("onboarding", DUE_EVERY_S, self._describe_due)
            schedule.later("language model at start", 0.0, self._language_model.look_at_start)
            schedule.every("language model", LOOK_EVERY_S, self._language_model.look)
            schedule.later("onboarding at start", 0.0, self._describe_left)
        run = partial(self._recipe_tasks.submit, "commissioning", None, self._commissioning.run_asked)
        schedule.every("commissions of persons", COMMISSION_EVERY_S, run)
        if options.commission:
            run = partial(self._recipe_tasks.submit, "commissioning", None, self._commissioning.run)
            schedule.every("commissioning", COMMISSION_EVERY_S, run)
        if options.recalibrate_s:
            run = partial(self._recipe_tasks.submit, "recalibration", None, self._recalibration.run)
            schedule.every("recalibration", options.recalibrate_s, run)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the recipe tasks that were submitted so far are done. Raises TimeoutError."""
        self._recipe_tasks.wait(timeout_s)

    def close(self) -> None:
        """Finish what is under way and stop. References that are not yet enrolled stay in the database."""
        self._context.closing.set()
        self._enrollment.close()
        self._frames.close()
        if self._describer is not None:
            self._describer.close()
        self._describing.close()
        self._recipe_tasks.close()

    # ---------------------------------------------------------------------------- from the pipeline

    def known_as(self, sku: str) -> str:
        """The spelling in which a SKU is stored: names from before there was one form of them keep theirs.

        Raises StorageError.
        """
        if self._older_spellings is None:  # read once: nobody stores such names any more
            stored = self._context.book.skus()
            self._older_spellings = {
                name: older for name, older in older_spellings(stored).items() if name not in stored
            }
        return self._older_spellings.get(sku, sku)

    def register(self, job: Job) -> None:
        """A SKU was named. Of all agents, the one that registers it first writes its recipe.

        Raises StorageError.
        """
        named = job.name is not None or job.description is not None
        with self._lock:
            if job.sku in self._registered and not named:
                return
        book = self._context.book
        before = book.job(job.sku) if named else None
        first = book.register(job)
        unseen = first or job.sku not in self._registered
        if self._describer is not None and unseen and self._is_undescribed(job.sku):
            self._frames.collect(job.sku)
        with self._lock:
            self._registered.add(job.sku)  # only now: if the database refused, it is asked again
        if first:
            self._recipe_tasks.submit("onboarding", job.sku, partial(self._make_first_recipe, job))
        elif before is not None and _is_news(before, job):
            self._recipe_tasks.submit("onboarding", job.sku, partial(self._take_name, job))

    def _report_case(self, sku: str) -> None:
        """Report a new SKU that may be a slip of the keyboard."""
        others = differs_by_case(sku, self._context.book.skus())
        if others:
            message = f"{sku!r} is a new product; only upper and lower case tell it from {others[0]!r}"
            self._context.report("sku-case", message, sku, severity="warning")

    def offer_frame(self, sku: str, image: Image, camera: Camera) -> None:
        """A frame of ``sku`` was decoded. Cheap: most frames are not needed."""
        if self._frames.collects(sku):
            self._frames.offer(sku, blanked(image, self._context.rules.of(camera).regions))

    def add_reference(self, sku: str, reference: Reference) -> None:
        """A reference of ``sku`` came in. It is safe in the database when this returns. Raises
        StorageError."""
        sku = self.known_as(sku)
        self.register(Job(sku))
        self._context.book.hold_reference(sku, reference)
        self._enrollment.schedule(sku)

    def add_frames(self, sku: str, frame_ids: Sequence[str], camera: str | None, by: str | None) -> int:
        """Make inspected frames of ``sku`` references, because a person called them good.

        That is recorded as feedback too. They are enrolled at once, beside the pipeline, and none of them is
        left out. Returns how many there are.

        Raises:
            RecipeError: as :func:`agent.enrollment.confirmed_frames.confirmed_references`.
            StorageError: the database or the media folder refused; a repeated call adds nothing twice.
        """
        context = self._context
        found = confirmed_references(context.book, context.samples, sku, frame_ids, camera)
        self.register(Job(sku))
        for inspection_id, reference in found.items():
            context.samples.call_good(inspection_id, context.clock(), by)
            context.book.hold_reference(sku, reference)
        self._enrollment.schedule(sku)  # only now, so that they become references of one version
        return len(found)

    def _is_undescribed(self, sku: str) -> bool:
        record = self._context.claims.record(sku)
        return record is None or record.state in (OnboardingState.WAITING, OnboardingState.CLAIMED)

    # ---------------------------------------------------------------------------- the recipes' thread

    def _make_first_recipe(self, job: Job) -> None:
        context = self._context
        record = context.claims.record(job.sku)
        if record is not None and record.is_held(context.clock()) and record.claimed_by != context.agent:
            return  # a command is enrolling it; if that fails, `_make_missing_recipes` finds it
        if context.book.active_version(job.sku) is None:
            template = template_recipe(job.sku, context.options.method, context.noun(job.sku))
            if self._versions.activate_first(template):
                context.report("recipe", f"first recipe of {job.sku!r}, from the template prompts", job.sku)
                self._report_case(job.sku)
        if self._describer is not None:
            context.claims.request(job.sku, context.clock(), "met for the first time")
            self._describe(job.sku)

    def _make_missing_recipes(self) -> None:
        """For products without a recipe at the last look too: storage refused when they were registered."""
        jobs = self._context.book.without_recipe()
        for job in jobs:
            if job.sku in self._without_recipe:
                self._recipe_tasks.submit("onboarding", job.sku, partial(self._make_first_recipe, job))
        self._without_recipe = frozenset(job.sku for job in jobs)

    def _take_name(self, job: Job) -> None:
        """Use the new name of a product that had none, or another one, from now on."""
        context = self._context
        active, noun = context.book.active(job.sku), context.noun(job.sku)
        if active is not None and active.prompts.source == "template" and active.noun != noun:
            self._rename(active, noun)
        if self._describer is not None:
            context.claims.request(job.sku, context.clock(), "its name or description has changed")
            self._describe(job.sku)

    def _rename(self, active: Recipe, noun: str) -> None:
        template = template_recipe(active.sku, active.method, noun)
        named = replace(active, noun=noun, prompts=template.prompts, origin="template")
        recipe = self._versions.activate_new(replace(named, note=f"the product is called {noun!r} now"))
        message = f"{active.sku!r} is called {noun!r}: version {recipe.version}"
        self._context.report("recipe", message, active.sku)

    # ------------------------------------------------------------------------------- the description

    def _describe(self, sku: str) -> None:
        if self._describer is None or self._context.closing.is_set():
            return
        self._frames.collect(sku)
        self._describing.submit("description", sku, partial(self._describer.describe, sku))

    def _describe_left(self) -> None:
        """What this agent had claimed when it was killed is its own work, and waits for no lease."""
        context = self._context
        try:
            left = context.claims.take_back(context.agent, context.clock())
        except StorageError as error:
            logger.warning("what was claimed before the start cannot be read: %s", error)
        else:
            if left:
                logger.info("taking up what the last stop left undescribed: %s", ", ".join(map(repr, left)))
        self._describe_due()

    def _describe_due(self) -> None:
        """All products that are due: later attempts, and those that a stopped agent had claimed."""
        try:
            due = self._context.claims.due(self._context.clock())
        except StorageError as error:
            logger.warning("what is due for onboarding cannot be read: %s", error)
            return
        for sku in due:
            self._describe(sku)


def _is_news(before: Job, job: Job) -> bool:
    """Whether the job gives a name or description that was not known."""
    return any(
        getattr(job, name) is not None and getattr(job, name) != getattr(before, name)
        for name in ("name", "description")
    )
