"""Cameras that fall silent, and are heard again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.domain.frame import Camera

MOST_CAMERAS = 1_024


@dataclass(frozen=True, slots=True)
class SilenceChange:
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


class SilenceMonitor:
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

    def heard(self, camera: Camera) -> SilenceChange | None:
        """A frame came; the change where the camera had been told silent."""
        now = self._listened_s
        before = self._last.get(camera, now)
        self._mute.discard(camera)
        if camera in self._last or len(self._last) < MOST_CAMERAS:
            self._last[camera] = now
        if camera not in self._silent:
            return None
        self._silent.remove(camera)
        return SilenceChange(camera, silent=False, seconds=now - before)

    def watches(self, camera: Camera) -> bool:
        """False for a camera beyond MOST_CAMERAS."""
        return camera in self._last

    def check(self, now: float, *, listening: bool) -> list[SilenceChange]:
        """Who has fallen silent since the last check, each told once a silence.

        Args:
            now: seconds of a clock that only goes forward.
            listening: whether the agent could hear a camera since the last check.
        """
        if listening and self._checked_at is not None:
            self._listened_s += now - self._checked_at
        self._checked_at = now
        return [change for camera in self._last if (change := self._change(camera)) is not None]

    def _change(self, camera: Camera) -> SilenceChange | None:
        limit, quiet = self._limit_s(camera), self._listened_s - self._last[camera]
        if not limit or quiet < limit or camera in self._silent:
            return None
        self._silent.add(camera)
        return SilenceChange(camera, silent=True, seconds=quiet, ever_heard=camera not in self._mute)


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
