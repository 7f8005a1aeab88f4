"""CameraTimeoutMonitor: reports cameras that stop sending, and a broker that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.domain.camera_rules import CameraRulebook
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.event_log import EventLog
from agent.ports import Transport
from agent.telemetry import Counters

MOST_CAMERAS = 1_024
CHECK_EVERY_S = 5.0
AWAY_AFTER_S = 30.0
"""A connection that is lost for longer gets an event of its own."""


@dataclass(frozen=True, slots=True)
class CameraTimeout:
    """A camera went silent, or came back."""

    camera: Camera
    silent: bool
    seconds: float
    """How long no frame had come."""
    ever_heard: bool = True

    def sentence(self) -> str:
        """The change in one sentence."""
        long = duration_in_words(self.seconds)
        if not self.silent:
            return f"{self.camera} is heard again after {long} of silence"
        if not self.ever_heard:
            return (
                f"{self.camera} has sent no frame since the agent began to listen {long} ago; look at its "
                "power, its network and the topic that it publishes on"
            )
        return f"{self.camera} has sent no frame for {long}; look at its power and its network"


class TimeoutDetector:
    """Measures how long each camera has sent no frame. Not thread-safe.

    Its clock stops while the agent has no connection, because then no camera can be heard.
    """

    def __init__(self, rules: CameraRulebook, site: str = "") -> None:
        """Watches cameras of ``site`` that the rules name from the start, others from their first frame."""
        self._rules = rules
        self._listened_s = 0.0
        self._checked_at: float | None = None
        self._last: dict[Camera, float] = dict.fromkeys(rules.cameras(site), 0.0)
        self._mute = set(self._last)
        """Cameras that have not sent a frame yet."""
        self._silent: set[Camera] = set()

    def heard(self, camera: Camera) -> CameraTimeout | None:
        """Take note of a frame. Returns the change if the camera counted as silent."""
        now = self._listened_s
        before = self._last.get(camera, now)
        self._mute.discard(camera)
        if camera in self._last or len(self._last) < MOST_CAMERAS:
            self._last[camera] = now
        if camera not in self._silent:
            return None
        self._silent.remove(camera)
        return CameraTimeout(camera, silent=False, seconds=now - before)

    def watches(self, camera: Camera) -> bool:
        """Whether the camera is watched; those beyond MOST_CAMERAS are not."""
        return camera in self._last

    def check(self, now: float, *, listening: bool) -> list[CameraTimeout]:
        """Cameras that have become silent since the last check; each is reported once for each silence.

        Args:
            now: seconds of a clock that only goes forward.
            listening: whether the agent could hear a camera since the last check.
        """
        if listening and self._checked_at is not None:
            self._listened_s += now - self._checked_at
        self._checked_at = now
        return [change for camera in self._last if (change := self._change(camera)) is not None]

    def _change(self, camera: Camera) -> CameraTimeout | None:
        limit, quiet = self._rules.of(camera).timeout_s, self._listened_s - self._last[camera]
        if not limit or quiet < limit or camera in self._silent:
            return None
        self._silent.add(camera)
        return CameraTimeout(camera, silent=True, seconds=quiet, ever_heard=camera not in self._mute)


def duration_in_words(seconds: float) -> str:
    """A duration in words: ``45 s``, ``10 min``, ``7 h 30 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" if not rest or minutes >= 10 else f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


class CameraTimeoutMonitor:
    """Takes note of every frame that comes in, and reports cameras that stopped sending.

    If the broker is away, its absence is reported and no camera counts as silent. The same holds while the
    pipeline stands still and leaves frames with the broker. Runs on the schedule, beside the pipeline.
    """

    def __init__(
        self,
        rules: CameraRulebook,
        site: str,
        events: EventLog,
        counters: Counters,
        *,
        transport: Transport,
        ingress: Sized,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ingress``: deliveries that came in and are not decoded yet."""
        self._detector = TimeoutDetector(rules, site)
        self._rules = rules
        self._events = events
        self._counters = counters
        self._transport = transport
        self._ingress = ingress
        self._clock = clock
        self._heard = False
        self._hearing = False
        self._away_since: float | None = None
        self._away_reported = False
        self._lock = threading.Lock()

    def hear(self, delivery: Delivery) -> None:
        """Take note of a delivery. Runs in the client's network thread, so it does nothing more."""
        if delivery.kind is not DeliveryKind.FRAME or delivery.retained:
            return
        with self._lock:
            self._heard = True
            change = self._detector.heard(delivery.camera)
            if not self._detector.watches(delivery.camera):
                self._counters.add("cameras_unwatched")
        if change is not None:
            self._report(change)

    def check(self) -> None:
        """Report cameras that became silent. Runs every CHECK_EVERY_S seconds."""
        now, connected = self._clock(), self._transport.connected
        with self._lock:
            # A frame since the last check shows that frames are taken, however many still wait.
            hearing = connected and (self._heard or not len(self._ingress))
            listened, self._hearing, self._heard = hearing and self._hearing, hearing, False
            changes = self._detector.check(now, listening=listened)
        for change in changes:
            self._report(change)
        self._check_connection(now, connected=connected)

    def _report(self, change: CameraTimeout) -> None:
        camera = change.camera
        event = Event(
            "silent" if change.silent else "heard",
            change.sentence(),
            datetime.now(UTC),
            camera=str(camera),
            details={"seconds": round(change.seconds, 1)},
            severity="warning" if change.silent else "info",
        )
        self._events.report(event, alert=None if self._rules.of(camera).shadow else camera)
        self._counters.add("cameras_silent" if change.silent else "cameras_heard_again")

    def _check_connection(self, now: float, *, connected: bool) -> None:
        if connected:
            if self._away_reported and self._away_since is not None:
                away = duration_in_words(now - self._away_since)
                sentence = f"the connection to the broker is back after {away}"
                self._events.report(Event("broker-back", sentence, datetime.now(UTC)))
            self._away_since, self._away_reported = None, False
            return
        if self._away_since is None:
            self._away_since = now
        if not self._away_reported and now - self._away_since >= AWAY_AFTER_S:
            self._away_reported = True
            away = duration_in_words(now - self._away_since)
            sentence = (
                f"there is no connection to the broker for {away}; no camera counts as silent meanwhile"
            )
            self._events.report(Event("broker-away", sentence, datetime.now(UTC), severity="error"))
