"""Describer: a language model's words for a new product, used if they beat the template's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from agent.domain.errors import ModelError, SightlineError, WriterError
from agent.domain.frame import Image, Job
from agent.domain.prompts import GENERIC_NOUN, PromptSource, compositional_ensemble
from agent.domain.recipe import ORIGINS, Recipe
from agent.domain.regions import EVERYWHERE
from agent.inference.regional import inspected_part
from agent.onboarding.context import OnboardingContext
from agent.onboarding.frame_buffer import FrameBuffer
from agent.onboarding.language_model import LanguageModelMonitor
from agent.onboarding.prompt_selection import (
    PromptSelection,
    PromptSelectionPolicy,
    contenders,
    select_prompts,
)
from agent.onboarding.task_thread import TaskThread
from agent.onboarding.versions import RecipeVersions
from agent.ports import Brief, Description, OnboardingState, PromptWriter, Tagger

logger = logging.getLogger(__name__)

SHOWN = 3
"""Frames that a language model which takes images gets."""
TAGS = 8
_WRITTEN = PromptSource.OLLAMA.value


class Describer:
    """Claims a product, has it described, tries the words, and reports the result."""

    def __init__(
        self,
        context: OnboardingContext,
        writer: PromptWriter,
        tagger: Tagger | None,
        language_model: LanguageModelMonitor,
        *,
        frames: FrameBuffer,
        versions: RecipeVersions,
        recipe_tasks: TaskThread,
    ) -> None:
        self._context = context
        self._writer = writer
        self._tagger = tagger
        self._language_model = language_model
        self._frames = frames
        self._versions = versions
        self._recipe_tasks = recipe_tasks
        self._described: dict[str, Description] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------- the describing thread

    def describe(self, sku: str) -> None:
        """Describe ``sku`` if it is due and no other agent works on it.

        Raises:
            StorageError: the database refused.
            SightlineError, RuntimeError, ValueError: it could not be described; it is tried again later.
        """
        context = self._context
        if not context.claims.claim(sku, context.agent, context.options.lease_s, context.clock()):
            return
        try:
            with self._lock:
                description = self._described.get(sku)
            if description is None:
                # Before frames and tags: without a server both would be waited for in vain.
                self._language_model.answered(self._writer.look())
                brief = self._brief(sku)
                # Tags may have taken long; the words have the whole lease.
                if not context.claims.renew(sku, context.agent, context.options.lease_s, context.clock()):
                    return
                description = self._writer.describe(brief)
        except WriterError as error:
            if context.closing.is_set():
                self._put_off(sku, "the agent was stopped", pause_s=0.0)
            else:
                self._fall_back(sku, error)
            return
        except (SightlineError, RuntimeError, ValueError) as error:
            self._put_off(sku, f"it could not be described: {error}")
            raise
        with self._lock:
            self._described[sku] = description
        self._recipe_tasks.submit("prompt-selection", sku, partial(self._try, sku, description))

    def _brief(self, sku: str) -> Brief:
        context = self._context
        job = context.book.job(sku) or Job(sku)
        active = context.book.active(sku)
        regions = EVERYWHERE if active is None else active.regions
        frames = self._frames.wait(sku, SHOWN, context.options.frames_wait_s)[:SHOWN]
        images = tuple(inspected_part(image, regions) for image in frames)
        tags: tuple[str, ...] = ()
        if self._tagger is not None and images:
            try:
                tags = self._tagger.tags(images[0], TAGS)
            except ModelError as error:
                logger.warning("%r is described without tags of its frames: %s", sku, error)
        record = context.claims.record(sku)
        attempt = max(0, record.attempts - 1) if record is not None else 0
        return Brief(sku, job.name, job.description, tags, images, attempt)

    def _fall_back(self, sku: str, error: WriterError) -> None:
        """The template's words stay in use, with the reason in the row. Tried again if that may help."""
        context = self._context
        if error.server:
            self._put_off(sku, error.reason)
            self._language_model.away(error, sku)
            return
        sentence = f"the template stands in for the language model's words of {sku!r}: {error.reason}"
        if error.again:
            self._put_off(sku, error.reason)
        else:
            self._end_claim(sku, OnboardingState.FAILED, error.reason)
        context.report("template-stands-in", sentence, sku, severity="warning")

    def _put_off(self, sku: str, reason: str, pause_s: float | None = None) -> None:
        """Try again later, by default after a pause that doubles with every attempt."""
        options = self._context.options
        if pause_s is None:
            record = self._context.claims.record(sku)
            doublings = min(32, record.attempts - 1) if record is not None else 0
            pause_s = min(options.retry_longest_s, options.retry_first_s * 2**doublings)
        self._end_claim(sku, OnboardingState.WAITING, reason, pause_s)

    def _end_claim(self, sku: str, state: OnboardingState, reason: str, pause_s: float | None = None) -> None:
        """``pause_s``: until the next attempt; None: there is none."""
        context, now = self._context, self._context.clock()
        again = None if pause_s is None else now + timedelta(seconds=pause_s)
        context.claims.finish(sku, context.agent, state, now, reason=reason, next_attempt_at=again)

    # ---------------------------------------------------------------------------- the recipes' thread

    def _try(self, sku: str, description: Description) -> None:
        """Let the words compete with the template's and keep what separates best."""
        context = self._context
        if not context.claims.renew(sku, context.agent, context.options.lease_s, context.clock()):
            return  # another agent took over: its result stands
        try:
            self._decide(sku, description)
        except (SightlineError, RuntimeError, ValueError) as error:
            self._put_off(sku, f"its words could not be tried: {error}")
            raise

    def _decide(self, sku: str, description: Description) -> None:
        context = self._context
        active = context.book.active(sku)
        if active is None:
            raise ValueError(f"{sku!r} has no recipe to begin with")
        if active.prompts.source is PromptSource.MANUAL:
            note = "a person wrote the words in force; these are kept beside"
            self._store_unused(active, description, None, note)
            self._finish(sku, "a person's words are in force")
            return
        images = self._images(active)
        if len(images) < context.options.least_frames:
            least = context.options.least_frames
            waiting = f"its words wait for {least} frames to be tried on, now {len(images)}"
            self._put_off(sku, waiting, pause_s=context.options.retry_first_s)
            return
        template = compositional_ensemble(self._noun(sku, description))
        policy = PromptSelectionPolicy(frames=context.options.first_frames)
        result = select_prompts(
            context.inspector, active, contenders(template, description.prompts), images, policy=policy
        )
        self._install(active, description, result)

    def _images(self, active: Recipe) -> Sequence[Image]:
        """Good parts if a person gave some, otherwise the first frames, most of which are good."""
        if active.references:
            return self._context.recipe_cache.images(active.references[: self._context.options.first_frames])
        return self._frames.wait(active.sku, self._context.options.first_frames, 0.0)

    def _noun(self, sku: str, description: Description) -> str:
        """The operator's name for it, or the language model's if there is none."""
        noun = self._context.noun(sku)
        return description.noun if noun == GENERIC_NOUN else noun

    def _install(self, active: Recipe, description: Description, result: PromptSelection) -> None:
        sku, chosen = active.sku, result.chosen.candidate
        if chosen.name != _WRITTEN:
            self._store_unused(active, description, result, f"not chosen: {result.reason}")
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
            self._versions.activate_new(draft)
        self._context.report("prompt-selection", f"prompts of {sku!r}: {result.reason}", sku)
        self._finish(sku, result.reason)

    def _store_unused(
        self, active: Recipe, description: Description, result: PromptSelection | None, note: str
    ) -> None:
        """Store the language model's words in a version that is not used, for people to look at."""
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
        self._context.book.add(kept, activate=False)

    def _finish(self, sku: str, reason: str) -> None:
        self._end_claim(sku, OnboardingState.DONE, reason)
        self._frames.drop(sku)
        with self._lock:
            self._described.pop(sku, None)

    def close(self) -> None:
        """Wait for nothing any more. The next start takes up again what is claimed."""
        self._writer.close()
        with self._lock:
            self._described.clear()
