"""OnboardingContext: the parts that all of onboarding works with; OnboardingOptions: its numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRulebook
from agent.domain.events import Event
from agent.domain.frame import Job
from agent.domain.limits import FEWEST_FIRST_FRAMES
from agent.domain.prompts import GENERIC_NOUN
from agent.domain.recipe import Reference
from agent.domain.tiling import Tiling
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.ports import OnboardingClaims, RecipeBook, Samples
from agent.recipes.cache import RecipeCache


@dataclass(frozen=True, slots=True)
class OnboardingOptions:
    """How onboarding makes recipes. All times are in seconds."""

    method: str = "sightline"
    """Of recipes that are still to be written."""
    quiet_s: float = 0.5
    """References come in bursts. A recipe is built once the burst has paused for so long."""
    patience_s: float = 10.0
    """A burst that does not end is enrolled in parts of this duration."""
    storage_retries_s: tuple[float, ...] = (0.5, 2.0, 8.0)
    """Pauses before a task that storage refused is tried again."""
    first_frames: int = 12
    """Frames of a new product on which words are tried."""
    least_frames: int = FEWEST_FIRST_FRAMES
    """With fewer frames words are not tried: the result would mean nothing."""
    frames_wait_s: float = 5.0
    """How long a description waits for first frames to look at."""
    lease_s: float = 900.0
    """How long an agent that claimed a product may take before another takes over."""
    retry_first_s: float = 60.0
    """Pause before a language model that failed is asked again; doubled each time."""
    retry_longest_s: float = 21_600.0
    commission: int = 0
    """First frames of a product without references that are taken as good; 0: none."""
    language_model_required: bool = False
    """Whether a language model that is away at the start is worth an event."""
    recalibrate_s: float = 3600.0
    """How often thresholds are set again; 0: never."""


@dataclass(frozen=True, slots=True)
class OnboardingContext:
    """The parts that onboarding works with."""

    book: RecipeBook
    claims: OnboardingClaims
    recipe_cache: RecipeCache
    inspector: Inspector
    events: EventLog
    samples: Samples
    policy: CalibrationPolicy
    selection: SelectionPolicy
    agent: str
    """The id under which this agent claims products."""
    options: OnboardingOptions = field(default_factory=OnboardingOptions)
    orientation: OrientationPolicy | None = None
    """When references are memorised rotated; None: as recipe and method define it."""
    rules: CameraRulebook = field(default_factory=CameraRulebook)
    """What is inspected of each camera's frames."""
    tiling: Tiling | None = None
    """Of products whose recipe says nothing about tiles; None: the whole image."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    closing: threading.Event = field(default_factory=threading.Event)
    """Set once the agent ends: nothing new is begun."""

    def report(self, kind: str, message: str, sku: str | None, *, severity: str = "info") -> None:
        """Report an event about a product."""
        self.events.report(Event(kind, message, self.clock(), sku=sku, severity=severity))

    def confirmed(self, references: Sequence[Reference]) -> frozenset[str]:
        """sha256 of the references that a person called good in production. Raises StorageError."""
        good = self.samples.called_good([reference.path for reference in references])
        return frozenset(reference.sha256 for reference in references if reference.path in good)

    def noun(self, sku: str) -> str:
        """The product's name, or a generic one until somebody names it. Raises StorageError."""
        return noun_of(self.book.job(sku) or Job(sku))


def noun_of(job: Job) -> str:
    """What a product is called in prompts: its name, or "object" if it has none.

    A SKU is an opaque string, and words made of it would mislead the model.
    """
    return job.name.strip() if job.name and job.name.strip() else GENERIC_NOUN
