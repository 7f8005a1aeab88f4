"""What every part of onboarding works with, and how it keeps trying."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.errors import SightlineError, StorageError
from agent.domain.events import Event
from agent.domain.frame import Job
from agent.domain.prompts import GENERIC_NOUN
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.inference.inspector import Inspector
from agent.ports import History, OnboardingClaims, RecipeBook, Samples
from agent.recipes.cache import RecipeCache
from agent.telemetry import about

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OnboardingOptions:
    """How patiently recipes are written. Seconds, all of them."""

    method: str = "sightline"
    """Of recipes that are still to be written."""
    quiet_s: float = 0.5
    """References come in bursts; a recipe is built once the burst has paused for so long."""
    patience_s: float = 10.0
    """A burst without end is enrolled in parts."""
    storage_retries_s: tuple[float, ...] = (0.5, 2.0, 8.0)
    """Pauses before a task that storage refused is tried again."""
    first_frames: int = 12
    """Frames of a new product that words are tried on."""
    least_frames: int = 4
    """With fewer a trial says nothing."""
    frames_wait_s: float = 5.0
    """How long the description waits for first frames to look at."""
    lease_s: float = 900.0
    """How long an agent that claimed a product may take before another takes over."""
    retry_first_s: float = 60.0
    """Pause before a language model that failed is asked again; doubled each time."""
    retry_longest_s: float = 21_600.0
    commission: int = 0
    """First frames of a product without references that are taken as good; 0: none."""
    recalibrate_s: float = 3600.0
    """How often thresholds are set anew; 0: never."""


@dataclass(frozen=True, slots=True)
class OnboardingContext:
    """The parts that onboarding is made of."""

    book: RecipeBook
    desk: OnboardingClaims
    cabinet: RecipeCache
    inspector: Inspector
    history: History
    samples: Samples
    policy: CalibrationPolicy
    selection: SelectionPolicy
    agent: str
    """The id under which this agent claims products."""
    options: OnboardingOptions = field(default_factory=OnboardingOptions)
    pose: OrientationPolicy | None = None
    """When references are memorised turned; None: as recipe and method have it."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    closing: threading.Event = field(default_factory=threading.Event)

    def tell(self, kind: str, message: str, sku: str | None, severity: str = "info") -> None:
        """An event about a product. Raises StorageError."""
        logger.info("%s", message, extra=about(None, sku=sku))
        self.history.record_event(
            Event(kind=kind, message=message, at=self.clock(), sku=sku, severity=severity)
        )

    def guarded(self, task: str, sku: str | None, work: Callable[[], None]) -> None:
        """Do a task; one that fails becomes an event, and the next one runs."""
        try:
            self._patiently(work)
        except (SightlineError, RuntimeError, ValueError) as error:  # torch raises RuntimeError
            logger.exception("%s failed for %r", task, sku)
            try:
                about = f"of {sku!r} " if sku else ""
                self.tell(f"{task}-failed", f"{task} {about}failed: {error}", sku, severity="error")
            except StorageError:
                logger.exception("the event could not be written either")

    def _patiently(self, work: Callable[[], None]) -> None:
        """Do it, again after a while where storage refused. Each task may be done twice."""
        for delay in self.options.storage_retries_s:
            try:
                return work()
            except StorageError as error:
                logger.warning("waiting for storage: %s", error)
                if self.closing.wait(delay):
                    raise
        return work()

    def noun(self, sku: str) -> str:
        """What the product is called until somebody knows better. Raises StorageError."""
        return noun_of(self.book.job(sku) or Job(sku))


def noun_of(job: Job) -> str:
    """What a product is called in prompts: its name, or "object" where it has none.

    A SKU is an opaque string; words made of it would mislead the model.
    """
    return job.name.strip() if job.name and job.name.strip() else GENERIC_NOUN
