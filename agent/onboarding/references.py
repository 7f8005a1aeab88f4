"""ReferenceEnrollment: new references are enrolled; Commissioning: first frames become references."""

from __future__ import annotations

import threading
import time
from functools import partial

from agent.enrollment.first_frames import commission, commissions
from agent.onboarding.context import OnboardingContext
from agent.onboarding.task_thread import TaskThread
from agent.onboarding.versions import RecipeVersions


class ReferenceEnrollment:
    """Enrolls references that wait in the database, each burst of them at once."""

    def __init__(self, context: OnboardingContext, tasks: TaskThread, versions: RecipeVersions) -> None:
        self._context = context
        self._tasks = tasks
        self._versions = versions
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._scheduled: set[str] = set()
        self._looks: dict[str, tuple[tuple[str, ...], int]] = {}

    def schedule(self, sku: str) -> None:
        """Enroll the waiting references of ``sku``, once no further ones come in. Any thread may call."""
        self._arrived.set()
        with self._lock:
            if sku in self._scheduled:
                return
            self._scheduled.add(sku)
        self._tasks.submit("enrollment", sku, partial(self._enroll, sku))

    def schedule_all(self) -> None:
        """Enroll what the last stop left in the database. Raises StorageError."""
        for sku in self._context.book.skus_with_held_references():
            self.schedule(sku)

    def schedule_forgotten(self) -> None:
        """Enroll references that came by a command, or to an agent that was stopped. Raises StorageError.

        References that are unchanged since the last look are not another agent's work under way. Those that
        could not be enrolled are not tried and reported again, until another reference joins them or the
        agent is restarted.
        """
        book, before = self._context.book, self._looks
        self._looks = {}
        for sku in book.skus_with_held_references():
            held = tuple(reference.sha256 for reference in book.held_references(sku))
            seen, looks = before.get(sku, ((), 0))
            looks = looks + 1 if seen == held else 1
            self._looks[sku] = (held, looks)
            if looks == 2:
                self.schedule(sku)

    def close(self) -> None:
        """End the wait for further references, after ``closing`` was set.

        Those that wait stay in the database.
        """
        self._arrived.set()

    def _enroll(self, sku: str) -> None:
        # `scheduled` is cleared before the rows are read: a reference that comes in from here on
        # schedules a task of its own, one that came before is read below.
        options, closing = self._context.options, self._context.closing
        patience = time.monotonic() + options.patience_s
        while not closing.is_set() and time.monotonic() < patience and self._arrived.wait(options.quiet_s):
            self._arrived.clear()
        with self._lock:
            self._scheduled.discard(sku)
        if not closing.is_set():
            self._versions.enroll_held(sku)


class Commissioning:
    """Takes the first inspected frames of products as good parts.

    Only if a person asked for it, or if the configuration states that an operator answers for products
    without references: a defective first frame would teach the agent that its defect is normal. The
    enrollment reports those that look unlike the others.
    """

    def __init__(self, context: OnboardingContext, enrollment: ReferenceEnrollment) -> None:
        self._context = context
        self._enrollment = enrollment
        self._done: set[str] = set()

    def run(self) -> None:
        """Look for products without references whose first frames are complete. Raises StorageError."""
        context, wanted = self._context, self._context.options.commission
        for sku in context.samples.skus_without_references():
            if sku not in self._done and len(context.samples.first_frames(sku, wanted)) >= wanted:
                self._commission(sku, wanted, "as commissioning states")
                self._done.add(sku)  # only now: what storage refused is repeated

    def run_asked(self) -> None:
        """Look for products that a person commissioned before their frames came. Raises StorageError."""
        for asked in commissions(self._context.book, self._context.samples):
            if asked.complete:
                self._commission(asked.sku, asked.wanted, "as a person asked")

    def _commission(self, sku: str, wanted: int, why: str) -> None:
        context = self._context
        if context.closing.is_set():
            return
        done = commission(context.book, context.samples, sku, wanted)
        message = f"the first {len(done.frames)} frames of {sku!r} are taken as good, {why}"
        context.report("commissioned", message, sku)
        self._enrollment.schedule(sku)
