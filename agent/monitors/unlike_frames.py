"""UnlikeFrameMonitor: reports cameras whose frames are unlike the references in form, once a version."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.domain.events import Event
from agent.domain.inspection import Inspection
from agent.domain.recipe import Recipe
from agent.event_log import EventLog

MOST_REPORTED = 10_000
"""So many pairs of camera and recipe version are remembered; what comes then is not reported."""


class UnlikeFrameMonitor:
    """Turns what the inspector found into one event for each camera and version of a recipe."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._reported: set[tuple[str, str, int]] = set()

    def observe(self, inspection: Inspection, recipe: Recipe | None, unlike: str | None) -> None:
        """``unlike``: what of the frame is unlike the references of ``recipe``, a sentence; None: nothing."""
        if unlike is None or recipe is None:
            return
        camera = inspection.identity.camera
        key = (str(camera), recipe.sku, recipe.version)
        if key in self._reported or len(self._reported) >= MOST_REPORTED:
            return
        self._reported.add(key)
        message = (
            f"{camera}: {unlike} (frame {inspection.identity.frame_id!r}, {recipe.sku!r} version "
            f"{recipe.version}); look at the camera's settings, or enroll references from this camera"
        )
        self._events.report(
            Event(
                "frame-unlike-references",
                message,
                datetime.now(UTC),
                camera=str(camera),
                sku=recipe.sku,
                details={"recipe_version": recipe.version, "frame_id": inspection.identity.frame_id},
                severity="warning",
            )
        )
