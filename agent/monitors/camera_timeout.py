"""Cameras that fall silent, and are heard again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.ports import History, MessageComposer, OutboxMessage
from agent.telemetry import Counters

MOST_CAMERAS = 1_024


@dataclass(frozen=True, slots=True)
class CameraTimeout:
    """A camera went silent, or came back."""

    camera: Camera
    silent: bool
    seconds: float
    """How long nothing had come."""
    ever_heard: bool = True

    def sentence(self) -> str:
        """For people."""
        long = spoken(self.seconds)
        if not self.silent:
            return f"{self.camera} is heard again after {long} of silence"
        if not self.ever_heard:
            return (
                f"{self.camera} has sent no frame since the agent began to listen {long} ago; look at its "
                "power, its network and the topic that it publishes on"
            )
        return f"{self.camera} has sent no frame for {long}; look at its power and its network"


class TimeoutDetector:
    """Measures how long each camera has sent nothing. Not thread-safe.

    Its clock stands still while the agent itself cannot hear: time without a connection is no camera's
    silence.
    """

    def __init__(self, limit_s: Callable[[Camera], float], expected: Iterable[Camera] = ()) -> None:
        """``limit_s``: after how many seconds a camera counts as silent, 0: never. ``expected`` cameras are
        watched from the start, all others from their first frame."""
        self._limit_s = limit_s
        self._listened_s = 0.0
        self._checked_at: float | None = None
        self._last: dict[Camera, float] = dict.fromkeys(expected, 0.0)
        self._mute = set(self._last)
        """Never heard."""
        self._silent: set[Camera] = set()

    def heard(self, camera: Camera) -> CameraTimeout | None:
        """A frame came; the change where the camera had been told silent."""
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
        """False for a camera beyond MOST_CAMERAS."""
        return camera in self._last

    def check(self, now: float, *, listening: bool) -> list[CameraTimeout]:
        """Who has fallen silent since the last check, each told once a silence.

        Args:
            now: seconds of a clock that only goes forward.
            listening: whether the agent could hear a camera since the last check.
        """
        if listening and self._checked_at is not None:
            self._listened_s += now - self._checked_at
        self._checked_at = now
        return [change for camera in self._last if (change := self._change(camera)) is not None]

    def _change(self, camera: Camera) -> CameraTimeout | None:
        limit, quiet = self._limit_s(camera), self._listened_s - self._last[camera]
        if not limit or quiet < limit or camera in self._silent:
            return None
        self._silent.add(camera)
        return CameraTimeout(camera, silent=True, seconds=quiet, ever_heard=camera not in self._mute)


def spoken(seconds: float) -> str:
    """A length of time in words: ``45 s``, ``10 min``, ``7 h 30 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" if not rest or minutes >= 10 else f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


logger = logging.getLogger(__name__)

CHECK_EVERY_S = 5.0
AWAY_AFTER_S = 30.0
"""A connection that is lost for longer is worth an event of its own."""
_MOST_UNTOLD = 4_096


def _never(camera: Camera) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class CameraTimeoutOptions:
    """What the watch needs of the configuration."""

    after_s: Callable[[Camera], float] = _never
    """Seconds without a frame until a camera counts as silent; 0: never."""
    expected: tuple[Camera, ...] = field(default=())
    """Cameras that the configuration names: they are missed even where they never sent anything."""


class CameraTimeoutMonitor:
    """Hears every frame as it comes in, and tells of cameras that stopped sending.

    A broker that is away is no camera's fault: its absence is told instead. Neither is a line that
    stands still and leaves frames with the broker.
    """

    def __init__(
        self,
        options: CameraTimeoutOptions,
        history: History,
        announcer: MessageComposer,
        counters: Counters,
        *,
        connected: Callable[[], bool],
        waiting: Callable[[], int] = lambda: 0,
        shadow: Callable[[Camera], bool] = lambda camera: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``waiting``: deliveries that came and were not yet looked at."""
        self._monitor = TimeoutDetector(options.after_s, options.expected)
        self._history = history
        self._announcer = announcer
        self._counters = counters
        self._connected = connected
        self._waiting = waiting
        self._shadow = shadow
        self._clock = clock
        self._heard = False
        self._hearing = False
        self._away_since: float | None = None
        self._away_told = False
        self._untold: list[tuple[Event, tuple[OutboxMessage, ...]]] = []
        self._lock = threading.Lock()

    def hear(self, delivery: Delivery) -> None:
        """A delivery came; runs on the client's network thread and only takes note."""
        if delivery.kind is not DeliveryKind.FRAME or delivery.retained:
            return
        with self._lock:
            self._heard = True
            change = self._monitor.heard(delivery.camera)
            if not self._monitor.watches(delivery.camera):
                self._counters.add("cameras_unwatched")
            if change is not None:
                self._keep(change)

    def check(self) -> None:
        """Look who is silent and tell it. Runs every CHECK_EVERY_S seconds."""
        now, connected = self._clock(), self._connected()
        with self._lock:
            # What came since the last check tells that frames are taken, however many still wait.
            hearing = connected and (self._heard or self._waiting() == 0)
            listened, self._hearing, self._heard = hearing and self._hearing, hearing, False
            for change in self._monitor.check(now, listening=listened):
                self._keep(change)
        self._watch_connection(now, connected)
        self._write()

    def _keep(self, change: CameraTimeout) -> None:
        camera, at, kind = change.camera, datetime.now(UTC), "silent" if change.silent else "heard"
        severity = "warning" if change.silent else "info"
        details: dict[str, str | int | float | None] = {"seconds": round(change.seconds, 1)}
        sentence = change.sentence()
        event = Event(kind, sentence, at, camera=str(camera), details=details, severity=severity)
        alert = self._announcer.alert(camera, kind, sentence, at, severity=severity)
        self._queue(event, () if self._shadow(camera) else (alert,))
        self._counters.add("cameras_silent" if change.silent else "cameras_heard_again")

    def _watch_connection(self, now: float, connected: bool) -> None:
        if connected:
            if self._away_told and self._away_since is not None:
                sentence = f"the connection to the broker is back after {spoken(now - self._away_since)}"
                self._queue(Event("broker-back", sentence, datetime.now(UTC)), ())
            self._away_since, self._away_told = None, False
            return
        if self._away_since is None:
            self._away_since = now
        if not self._away_told and now - self._away_since >= AWAY_AFTER_S:
            self._away_told = True
            sentence = (
                f"there is no connection to the broker for {spoken(now - self._away_since)}; no camera is "
                "called silent meanwhile"
            )
            self._queue(Event("broker-away", sentence, datetime.now(UTC), severity="error"), ())

    def _queue(self, event: Event, messages: tuple[OutboxMessage, ...]) -> None:
        if len(self._untold) >= _MOST_UNTOLD:
            self._counters.add("events_lost")
            logger.error("%s (too many events wait for the database)", event.message)
            return
        self._untold.append((event, messages))

    def _write(self) -> None:
        while self._untold:
            event, messages = self._untold[0]
            try:
                self._history.announce(event, messages)
            except StorageError as error:
                logger.error("%s (told once the event can be written: %s)", event.message, error)
                return
            del self._untold[0]
            level = logging.INFO if event.severity == "info" else logging.WARNING
            logger.log(level, "%s", event.message, extra={"camera": event.camera})


def configured(site: str, names: Iterable[str]) -> tuple[Camera, ...]:
    """``LINE/CAMERA`` of a configuration as cameras of ``site``."""
    return tuple(Camera(site, *name.split("/", 1)) for name in names)
