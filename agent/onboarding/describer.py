"""The words of a new product: asked of a language model, tried against the template, used if better."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from agent.domain.errors import ModelError, SightlineError, WriterError
from agent.domain.frame import Image, Job
from agent.domain.prompts import GENERIC_NOUN, PromptSource, compositional_ensemble
from agent.domain.recipe import ORIGINS, Recipe
from agent.onboarding.context import OnboardingContext
from agent.onboarding.frame_buffer import FrameBuffer
from agent.onboarding.prompt_selection import (
    PromptSelection,
    PromptSelectionPolicy,
    contenders,
    select_prompts,
)
from agent.onboarding.versions import RecipeVersions
from agent.ports import Brief, Description, OnboardingState, PromptWriter, Tagger

logger = logging.getLogger(__name__)

SHOWN = 3
"""Frames that a language model with eyes is shown."""
TAGS = 8
_WRITTEN = PromptSource.OLLAMA.value

OnRecipes = Callable[[str, str, Callable[[], None]], None]
"""Hands a task over to the thread that owns recipes: task, SKU, work."""


class Describer:
    """Claims a product, has it described, tries the words, and says what became of them."""

    def __init__(
        self,
        office: OnboardingContext,
        writer: PromptWriter,
        tagger: Tagger | None,
        frames: FrameBuffer,
        enrolling: RecipeVersions,
        on_recipes: OnRecipes,
    ) -> None:
        self._office = office
        self._writer = writer
        self._tagger = tagger
        self._frames = frames
        self._enrolling = enrolling
        self._on_recipes = on_recipes
        self._described: dict[str, Description] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------- the describing thread

    def write(self, sku: str) -> None:
        """Describe ``sku`` if it is due and no other agent does. Raises StorageError."""
        office = self._office
        if not office.desk.claim(sku, office.agent, office.options.lease_s, office.clock()):
            return
        try:
            with self._lock:
                description = self._described.get(sku)
            if description is None:
                description = self._writer.describe(self._brief(sku))
        except WriterError as error:
            if office.closing.is_set():
                self._put_off(sku, "the agent was stopped", pause_s=0.0)
            else:
                self._fall_back(sku, error)
            return
        except (SightlineError, RuntimeError, ValueError) as error:
            self._put_off(sku, f"it could not be described: {error}")
            raise
        with self._lock:
            self._described[sku] = description
        self._on_recipes("prompt-selection", sku, partial(self._try, sku, description))

    def _brief(self, sku: str) -> Brief:
        office = self._office
        job = office.book.job(sku) or Job(sku)
        images = self._frames.wait(sku, SHOWN, office.options.frames_wait_s)[:SHOWN]
        tags: tuple[str, ...] = ()
        if self._tagger is not None and images:
            try:
                tags = self._tagger.tags(images[0], TAGS)
            except ModelError as error:
                logger.warning("%r is described without tags of its frames: %s", sku, error)
        return Brief(sku, job.name, job.description, tags, images)

    def _fall_back(self, sku: str, error: WriterError) -> None:
        """The template stands in, with the reason in the row; tried again where that may help."""
        office = self._office
        sentence = f"the template stands in for the language model's words of {sku!r}: {error.reason}"
        if error.again:
            self._put_off(sku, error.reason)
        else:
            office.desk.finish(sku, office.agent, OnboardingState.FAILED, office.clock(), reason=error.reason)
        office.tell("template-stands-in", sentence, sku, severity="warning")

    def _put_off(self, sku: str, reason: str, pause_s: float | None = None) -> None:
        """Try again later; by default after a pause that doubles with every attempt."""
        office, options = self._office, self._office.options
        if pause_s is None:
            record = office.desk.record(sku)
            doublings = min(32, record.attempts - 1) if record is not None else 0
            pause_s = min(options.retry_longest_s, options.retry_first_s * 2**doublings)
        now = office.clock()
        office.desk.finish(
            sku,
            office.agent,
            OnboardingState.WAITING,
            now,
            reason=reason,
            next_attempt_at=now + timedelta(seconds=pause_s),
        )

    # ---------------------------------------------------------------------------- the recipes' thread

    def _try(self, sku: str, description: Description) -> None:
        """Let the words compete with the template's and keep what separates best."""
        office = self._office
        if not office.desk.renew(sku, office.agent, office.options.lease_s, office.clock()):
            return  # another agent took over: its result stands
        try:
            self._decide(sku, description)
        except (SightlineError, RuntimeError, ValueError) as error:
            self._put_off(sku, f"its words could not be tried: {error}")
            raise

    def _decide(self, sku: str, description: Description) -> None:
        office = self._office
        active = office.book.active(sku)
        if active is None:
            raise ValueError(f"{sku!r} has no recipe to begin with")
        if active.prompts.source is PromptSource.MANUAL:
            self._keep(active, description, None, "a person wrote the words in force; these are kept beside")
            self._done(sku, "a person's words are in force")
            return
        images = self._images(active)
        if len(images) < office.options.least_frames:
            least = office.options.least_frames
            waiting = f"its words wait for {least} frames to be tried on, now {len(images)}"
            self._put_off(sku, waiting, pause_s=office.options.retry_first_s)
            return
        template = compositional_ensemble(self._noun(sku, description))
        policy = PromptSelectionPolicy(frames=office.options.first_frames)
        result = select_prompts(
            office.inspector, active, contenders(template, description.prompts), images, policy=policy
        )
        self._install(active, description, result)

    def _images(self, active: Recipe) -> Sequence[Image]:
        """Good parts where a person gave some, else the first frames, good for the most part."""
        if active.references:
            return self._office.cabinet.images(active.references[: self._office.options.first_frames])
        return self._frames.wait(active.sku, self._office.options.first_frames, 0.0)

    def _noun(self, sku: str, description: Description) -> str:
        """The operator's word for it; the language model's where there is none."""
        noun = self._office.noun(sku)
        return description.noun if noun == GENERIC_NOUN else noun

    def _install(self, active: Recipe, description: Description, result: PromptSelection) -> None:
        sku, chosen = active.sku, result.chosen.candidate
        if chosen.name != _WRITTEN:
            self._keep(active, description, result, f"kept and not used: {result.reason}")
        if chosen.prompts.digest != active.prompts.digest:
            template = chosen.name == "template"
            draft = replace(
                active,
                prompts=chosen.prompts,
                noun=self._noun(sku, description) if template else description.noun,
                origin=chosen.name if chosen.name in ORIGINS else "prompt-selection",
                note=result.reason,
                prompt_selection=result.as_record(),
            )
            self._enrolling.activate_new(draft)
        self._office.tell("prompt-selection", f"prompts of {sku!r}: {result.reason}", sku)
        self._done(sku, result.reason)

    def _keep(
        self, active: Recipe, description: Description, result: PromptSelection | None, note: str
    ) -> None:
        """A version with the language model's words that nobody uses, for people to look at."""
        kept = replace(
            active,
            prompts=description.prompts,
            noun=description.noun,
            origin="ollama",
            note="; ".join((note, *description.notes)),
            prompt_selection=result.as_record() if result is not None else None,
            calibration=None,
            id=None,
            version=0,
            parent=active.version,
        )
        self._office.book.add(kept, activate=False)

    def _done(self, sku: str, reason: str) -> None:
        office = self._office
        office.desk.finish(sku, office.agent, OnboardingState.DONE, office.clock(), reason=reason)
        self._frames.drop(sku)
        with self._lock:
            self._described.pop(sku, None)

    def close(self) -> None:
        """Nothing is waited for any more; what was claimed is taken up again at the next start."""
        self._writer.close()
        with self._lock:
            self._described.clear()
