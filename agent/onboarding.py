"""Onboarding: a SKU that was never met gets its recipe, and references become a better one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from agent.cabinet import Cabinet, generic_recipe
from agent.calibration import CalibrationPolicy
from agent.enrolment import enrol
from agent.errors import SightlineError, StorageError
from agent.frame import Job
from agent.inspection import Event
from agent.inspector import Inspector
from agent.ports import History, RecipeBook
from agent.recipe import Reference

logger = logging.getLogger(__name__)

QUIET_S = 0.5
"""References come in bursts; a recipe is built once the burst has paused for so long."""

PATIENCE_S = 10.0
"""A burst without end is enrolled in parts."""

STORAGE_RETRIES_S = (0.5, 2.0, 8.0)
"""Pauses before a task that storage refused is tried again."""


class Onboarding:
    """Writes recipes beside the line. Nothing here is in the path of a frame."""

    def __init__(
        self,
        book: RecipeBook,
        cabinet: Cabinet,
        inspector: Inspector,
        history: History,
        *,
        method: str,
        policy: CalibrationPolicy,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._book = book
        self._cabinet = cabinet
        self._inspector = inspector
        self._history = history
        self._method = method
        self._policy = policy
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="onboarding")
        self._arrived = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._met: set[str] = set()
        self._waiting: set[str] = set()

    def start(self) -> None:
        """Take up what the last stop left half done: SKUs without a recipe, references in none."""
        for job in self._book.without_recipe():
            self._worker.submit(self._guarded, "onboarding", job.sku, partial(self._first_recipe, job))
        for sku in self._book.skus_with_held_references():
            self._schedule(sku)

    def close(self) -> None:
        """Finish what is under way and stop. References not yet enrolled wait in the database."""
        self._closing.set()
        self._arrived.set()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def meet(self, job: Job) -> None:
        """A SKU was named. The first of all agents to meet it writes its recipe."""
        with self._lock:
            if job.sku in self._met and job.name is None:
                return
        first = self._book.register(job)
        with self._lock:
            self._met.add(job.sku)  # only now: where the database refused, it is asked again
        if first:
            self._worker.submit(self._guarded, "onboarding", job.sku, partial(self._first_recipe, job))

    def refer(self, sku: str, reference: Reference) -> None:
        """A reference of ``sku`` came in. It is safe in the database when this returns."""
        self.meet(Job(sku))
        self._book.hold_reference(sku, reference)
        self._schedule(sku)

    def _schedule(self, sku: str) -> None:
        self._arrived.set()
        with self._lock:
            if sku in self._waiting:
                return
            self._waiting.add(sku)
        self._worker.submit(self._guarded, "enrolment", sku, partial(self._enrol_held, sku))

    def _guarded(self, task: str, sku: str, work: Callable[[], None]) -> None:
        """A task that fails becomes an event; the next one runs."""
        try:
            self._patiently(work)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            logger.exception("%s of %r failed", task, sku)
            try:
                self._tell(f"{task}-failed", f"{task} of {sku!r} failed: {error}", sku, severity="error")
            except StorageError:
                logger.exception("the event could not be written either")

    def _patiently(self, work: Callable[[], None]) -> None:
        """Do it, again after a while where storage refused. Each task may be done twice."""
        for delay in STORAGE_RETRIES_S:
            try:
                return work()
            except StorageError as error:
                logger.warning("waiting for storage: %s", error)
                if self._closing.wait(delay):
                    raise
        return work()

    def _first_recipe(self, job: Job) -> None:
        if self._book.active_version(job.sku) is not None:
            return
        recipe = self._book.add(generic_recipe(job.sku, self._method, self._noun(job.sku)))
        self._tell("recipe", f"first recipe of {job.sku!r}, from the template prompts", job.sku)
        self._cabinet.put(self._inspector.prepare(recipe, ()))

    def _enrol_held(self, sku: str) -> None:
        # `waiting` is cleared before the rows are read: a reference that comes in from here on
        # schedules a task of its own, one that came before is read below.
        patience = time.monotonic() + PATIENCE_S
        while not self._closing.is_set() and time.monotonic() < patience and self._arrived.wait(QUIET_S):
            self._arrived.clear()
        with self._lock:
            self._waiting.discard(sku)
        held = tuple(self._book.held_references(sku))
        if not held or self._closing.is_set():
            return
        base = self._book.active(sku) or generic_recipe(sku, self._method, self._noun(sku))
        references = base.references + held
        draft = replace(base, references=references, calibration=None)
        enrolled = enrol(
            self._inspector,
            draft,
            self._cabinet.images(references),
            policy=self._policy,
        )
        recipe = self._book.add(enrolled.recipe)
        self._cabinet.put(enrolled.prepared.belonging_to(recipe))
        state = "calibrated" if recipe.calibration else "not calibrated yet"
        self._tell("recipe", f"{sku!r} has {len(references)} references, {state}", sku)

    def _noun(self, sku: str) -> str:
        return noun_of(self._book.job(sku) or Job(sku))

    def _tell(self, kind: str, message: str, sku: str, severity: str = "info") -> None:
        logger.info("%s", message)
        self._history.record_event(
            Event(kind=kind, message=message, at=self._clock(), sku=sku, severity=severity)
        )


def noun_of(job: Job) -> str:
    """What a product is called in prompts: its name, or "object" where it has none.

    A SKU is an opaque string; words made of it would mislead the model.
    """
    return job.name.strip() if job.name and job.name.strip() else "object"
