"""An onboarding of one agent on real storage."""

from __future__ import annotations

from typing import Any

from agent.calibration.threshold import CalibrationPolicy
from agent.enrollment.orientation import OrientationPolicy
from agent.enrollment.selection import SelectionPolicy
from agent.inference.inspector import Inspector
from agent.onboarding import OnboardingContext, OnboardingCoordinator, OnboardingOptions
from agent.ports import History, PromptWriter, RecipeBook
from agent.recipes.cache import RecipeCache
from tests.support.factory import Rooms
from tests.support.schedule import ManualSchedule


def onboarding(
    rooms: Rooms,
    cabinet: RecipeCache,
    inspector: Inspector,
    *,
    book: RecipeBook | None = None,
    history: History | None = None,
    writer: PromptWriter | None = None,
    schedule: ManualSchedule | None = None,
    agent: str = "cell-7",
    pose: OrientationPolicy | None = None,
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
    office = OnboardingContext(
        book=book or rooms.book,
        desk=rooms.desk,
        cabinet=cabinet,
        inspector=inspector,
        history=history or rooms.history,
        samples=rooms.samples,
        selection=SelectionPolicy(),
        policy=CalibrationPolicy(0.01),
        agent=agent,
        options=OnboardingOptions(**short),
        pose=pose,
    )
    return OnboardingCoordinator(office, schedule or ManualSchedule(), writer=writer)
