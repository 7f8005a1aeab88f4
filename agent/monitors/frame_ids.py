"""``FrameIdMonitor``: cameras that give an id to more than one image are reported, once each."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity
from agent.event_log import EventLog
from agent.telemetry import Counters

MOST_CAMERAS = 1_024
"""How many cameras are reported by name; anybody may publish under the name of a new one."""


class FrameIdMonitor:
    """Counts frames that got an id of their own, and reports the first of each camera."""

    def __init__(self, events: EventLog, counters: Counters) -> None:
        self._events = events
        self._counters = counters
        self._reported: set[Camera] = set()
        self._lock = threading.Lock()

    def note(self, identity: FrameIdentity) -> None:
        """Note a frame on its way into the history; any thread may call."""
        if identity.sent_id is None:
            return
        self._counters.add("frame_ids_used_again")
        camera = identity.camera
        with self._lock:
            if camera in self._reported or len(self._reported) >= MOST_CAMERAS:
                return
            self._reported.add(camera)
        sentence = (
            f"frame ids of {camera} begin anew: {identity.sent_id!r} came before with another image. The new "
            f"one is judged under the id {identity.frame_id!r}, and further ones likewise. A counter that "
            "restarted does this, or two cameras on one topic; let the camera send ids that never repeat"
        )
        details: dict[str, str | int | float | None] = {
            "sent_frame_id": identity.sent_id,
            "frame_id": identity.frame_id,
        }
        event = Event(
            "frame-id-reused",
            sentence,
            datetime.now(UTC),
            camera=str(camera),
            details=details,
            severity="warning",
        )
        self._events.report(event)
