"""The watch over running numbers: frames that never came are told, by camera."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from agent.domain.errors import StorageError
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Event
from agent.numbering import Gap, Numbering, NumberingPolicy, NumberSource, Restart, number_of
from agent.ports import Announcer, History, OutboxMessage
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

REMEMBERED = 64
"""How many of the newest numbers in the history are looked at after a start."""
_TELL_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class NumbersOptions:
    """What the watch needs of the configuration."""

    source: NumberSource = NumberSource.FIELD
    policy: NumberingPolicy = field(default_factory=NumberingPolicy)


class NumbersWatch:
    """Notes each frame once it is the line's own, and tells what did not come.

    Frames are noted by the stages that understand them. Telling is for the stage that has just noted all
    that were skipped: only then is what is missing really missing. A finding that storage refuses is kept
    and told later.
    """

    def __init__(
        self,
        options: NumbersOptions,
        history: History,
        announcer: Announcer,
        counters: Counters,
        *,
        shadow: Callable[[Camera], bool] = lambda camera: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._numbering = Numbering(options.policy)
        self._history = history
        self._announcer = announcer
        self._counters = counters
        self._shadow = shadow
        self._clock = clock
        self._cameras: dict[str, Camera] = {}
        self._untold: list[tuple[Event, Camera]] = []
        self._refused = False
        self._told_at = float("-inf")
        self._lock = threading.Lock()

    def numbered(self, identity: FrameIdentity) -> FrameIdentity:
        """The identity with its running number, wherever that stands.

        The first frame of a camera is preceded by what the history knows of it. Raises StorageError.
        """
        number = number_of(identity, self._options.source)
        if number is None:
            return identity
        with self._lock:
            self._meet(identity.camera)
        return replace(identity, sequence=number)

    def _meet(self, camera: Camera) -> None:
        name = str(camera)
        if self._numbering.knows(name):
            return
        numbers = self._history.recent_sequences(camera, REMEMBERED)
        if self._numbering.meet(name, numbers, self._clock()):
            self._cameras[name] = camera

    def note(self, identity: FrameIdentity) -> None:
        """A frame has come that will have a row."""
        number, name = number_of(identity, self._options.source), str(identity.camera)
        if number is None:
            return
        with self._lock:
            if self._numbering.knows(name):
                self._numbering.note(name, number, self._clock())
            else:
                self._counters.add("cameras_unwatched")

    def tell(self, *, final: bool = False) -> None:
        """Write and announce what is due; cheap enough to be called all the time."""
        now = self._clock()
        if not final and now - self._told_at < _TELL_EVERY_S:
            return
        self._told_at = now
        if not self._untold:
            with self._lock:
                found = self._numbering.due(now, final=final)
            self._untold = [(self._event(one), self._cameras[one.camera]) for one in found]
        while self._untold:
            if not self._announce(*self._untold[0]):
                return
            del self._untold[0]

    def _event(self, found: Gap | Restart) -> Event:
        at, sentence = datetime.now(UTC), found.sentence()
        if isinstance(found, Restart):
            details: dict[str, str | int | float | None] = {
                "last": found.last,
                "first": found.first,
                "times": found.times,
            }
            return Event("sequence-restart", sentence, at, camera=found.camera, details=details)
        self._counters.add("frames_missing", found.frames)
        details = {"frames": found.frames, "numbers": _numbers(found), "first": found.ranges[0][0]}
        return Event("gap", sentence, at, camera=found.camera, details=details, severity="warning")

    def _announce(self, event: Event, camera: Camera) -> bool:
        messages: tuple[OutboxMessage, ...] = ()
        if event.kind == "gap" and not self._shadow(camera):
            messages = (self._announcer.alert(camera, event.kind, event.message, event.at),)
        try:
            self._history.announce(event, messages)
        except StorageError as error:
            if not self._refused:
                logger.error(
                    "%s (told once the event can be written: %s)", event.message, error, extra=about(camera)
                )
            self._refused = True
            return False
        self._refused = False
        logger.log(
            logging.WARNING if event.severity == "warning" else logging.INFO,
            "%s",
            event.message,
            extra={"camera": event.camera},
        )
        return True


def _numbers(gap: Gap) -> str:
    """As ``7, 12-15``; the oldest runs."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in gap.ranges)
