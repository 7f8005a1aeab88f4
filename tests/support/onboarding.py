"""onboarding(): an onboarding of one agent on real storage."""

from __future__ import annotations

from typing import Any

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRulebook
from agent.domain.tiling import Tiling
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.onboarding import OnboardingContext, OnboardingCoordinator, OnboardingOptions
from agent.ports import PromptWriter, RecipeBook
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters
from tests.support.factory import Rooms
from tests.support.schedule import ManualSchedule


def onboarding(
    rooms: Rooms,
    recipe_cache: RecipeCache,
    inspector: Inspector,
    *,
    book: RecipeBook | None = None,
    events: EventLog | None = None,
    writer: PromptWriter | None = None,
    schedule: ManualSchedule | None = None,
    agent: str = "cell-7",
    orientation: OrientationPolicy | None = None,
    rules: CameraRulebook | None = None,
    tiling: Tiling | None = None,
    **options: Any,
) -> OnboardingCoordinator:
    """With short pauses, and a schedule that runs by hand."""
    short = {
        "method": "fade",
        "quiet_s": 0.1,
        "storage_retries_s": (0.01, 0.01, 0.01),
        "frames_wait_s": 0.5,
        **options,
    }
    context = OnboardingContext(
        book=book or rooms.book,
        claims=rooms.claims,
        recipe_cache=recipe_cache,
        inspector=inspector,
        events=EventLog(rooms.history, (), Counters()) if events is None else events,  # an empty one is false
        samples=rooms.samples,
        selection=SelectionPolicy(),
        policy=CalibrationPolicy(0.01),
        agent=agent,
        options=OnboardingOptions(**short),
        orientation=orientation,
        rules=rules or CameraRulebook(),
        tiling=tiling,
    )
    return OnboardingCoordinator(context, schedule or ManualSchedule(), writer=writer)
