"""CameraZoneMonitor: cameras whose capture times are whole quarter hours off, as by a wrong time zone."""

from __future__ import annotations

from datetime import timedelta

from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.inspection import Inspection
from agent.domain.recipe import Recipe
from agent.event_log import EventLog

QUARTER = timedelta(minutes=15)
"""All zones of the world differ by multiples of it."""
TOLERANCE = timedelta(seconds=30)
MOST_QUARTERS = 14 * 4
"""No zone is further from UTC."""
FRAMES = 3
"""So many in a row, with the same difference: one that was merely late differs from its neighbours."""
MOST_CAMERAS = 1_000


class CameraZoneMonitor:
    """Reports each such camera once, with the setting that mends it."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._runs: dict[Camera, tuple[int, int]] = {}
        self._reported: set[Camera] = set()

    def observe(self, inspection: Inspection, recipe: Recipe | None) -> None:
        """Compare when a frame was captured, as its camera says, with when it came."""
        camera, captured = inspection.identity.camera, inspection.identity.captured_at
        if captured is None or camera in self._reported:
            return
        late = inspection.received_at - captured
        quarters = round(late / QUARTER)
        if not 0 < abs(quarters) <= MOST_QUARTERS or abs(late - quarters * QUARTER) > TOLERANCE:
            self._runs.pop(camera, None)
            return
        before, count = self._runs.get(camera, (quarters, 0))
        count = count + 1 if before == quarters else 1
        if count < FRAMES:
            if camera in self._runs or len(self._runs) < MOST_CAMERAS:
                self._runs[camera] = (quarters, count)
            return
        self._runs.pop(camera, None)
        if len(self._reported) < MOST_CAMERAS:
            self._reported.add(camera)
            self._events.report(_event(inspection, camera, quarters))


def _event(inspection: Inspection, camera: Camera, quarters: int) -> Event:
    off = f"{abs(quarters) / 4:g} h {'behind' if quarters > 0 else 'ahead of'}"
    message = (
        f"{camera}: its captured_at is {off} the time of receipt, {FRAMES} frames in a row: the time zone is "
        f"wrong. If it sends local time without a zone, set cameras.{camera.line}/{camera.camera}.timezone, "
        "such as Europe/Berlin; else set the zone of its clock"
    )
    details = {"hours": quarters / -4}
    return Event(
        "camera-zone", message, inspection.received_at, str(camera), details=details, severity="warning"
    )
