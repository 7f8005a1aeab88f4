"""SequenceGapMonitor: reports frames that never came, from the running numbers of each camera."""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from agent.domain.camera_rules import CameraRulebook
from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity
from agent.event_log import EventLog
from agent.ports import History
from agent.telemetry import Counters

WINDOW = 1_000
"""A number this far behind the newest is not a late frame: the camera counts anew."""
LARGEST_GAP = 1_000_000
"""A longer jump is a new count, not a gap."""
MODULI = (2**16, 2**32)
"""Where counters of cameras wrap around without a restart."""
MOST_CAMERAS = 1_024
MOST_RANGES = 256
NAMED_RANGES = 16

_NEAR_THE_END = 64
_STEP = 100
_DIGITS = re.compile(r"\d{1,18}\Z")


class NumberSource(StrEnum):
    """Where a frame carries its running number."""

    FIELD = "field"
    """In the field ``sequence`` of the frame."""
    FRAME_ID = "frame_id"
    """The digits at the end of the frame id."""
    AUTO = "auto"
    """In the field, otherwise in the frame id."""
    OFF = "off"


def number_of(identity: FrameIdentity, source: NumberSource) -> int | None:
    """The running number of a frame; None if it has none.

    An id that was derived from the image does not count, whatever digits it ends in.
    """
    if source is NumberSource.OFF:
        return None
    if source is not NumberSource.FRAME_ID and identity.sequence is not None:
        return identity.sequence
    if source is NumberSource.FIELD or identity.content_derived:
        return None
    digits = _DIGITS.search(identity.frame_id)
    return int(digits.group()) if digits else None


@dataclass(frozen=True, slots=True)
class SequencePolicy:
    """How long to wait for missing numbers, and how often to report them."""

    patience_s: float = 10.0
    """How long a missing number may still come: several threads note frames."""
    pause_s: float = 60.0
    """Shortest pause between two reports on a camera; each names all that it lost since the last."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames of one camera that never came."""

    camera: str
    frames: int
    ranges: tuple[tuple[int, int], ...]
    """First and last number of each of the oldest runs, at most NAMED_RANGES."""

    def sentence(self) -> str:
        """The finding in one sentence."""
        named = ", ".join(
            str(first) if first == last else f"{first} to {last}" for first, last in self.ranges
        )
        known = sum(last - first + 1 for first, last in self.ranges)
        more = f" and {self.frames - known} more" if self.frames > known else ""
        what = "frame is" if self.frames == 1 else "frames are"
        return (
            f"{self.frames} {what} missing from {self.camera}: sequence {named}{more} never came; "
            "look at the camera's network and at the broker's queue limits"
        )


@dataclass(frozen=True, slots=True)
class Restart:
    """A camera that began to count anew."""

    camera: str
    last: int
    first: int
    times: int = 1
    """How often since the last report. ``last`` and ``first`` belong to the latest restart."""

    def sentence(self) -> str:
        """The finding in one sentence."""
        often = "" if self.times == 1 else f", {self.times} times by now"
        return (
            f"{self.camera} counts its frames anew: sequence {self.first} after {self.last}{often}; frames "
            "that were lost in between cannot be counted"
        )


@dataclass(slots=True)
class _Range:
    first: int
    last: int
    since: float


@dataclass(slots=True)
class _Series:
    """The numbers of one camera. Internally they go on rising if a counter wraps around."""

    begun: bool = False
    first: tuple[int, float] | None = None
    """The number that it began with, and when; None if it began with numbers of the history."""
    newest: int = 0
    offset: int = 0
    modulus: int | None = None
    missing: list[_Range] = field(default_factory=list)
    """By number; they do not overlap."""
    suspects: list[int] = field(default_factory=list)
    """Numbers that do not fit this series and may be the first of a new one."""
    past: tuple[int, float] | None = None
    """Newest number before the last restart, and when the restart was noticed."""
    given_up: int = 0
    named: list[tuple[int, int]] = field(default_factory=list)
    restarts: int = 0
    restarted: tuple[int, int] = (0, 0)
    gap_reported: float | None = None
    restart_reported: float | None = None

    def note(self, number: int, now: float, patience_s: float) -> None:
        if not self.begun:
            self.begun, self.newest, self.first = True, number, (number, now)
            return
        if self._from_before_the_first(number, now, patience_s):
            return
        if self._late_from_before(number, now, patience_s):
            return
        value = self._unwrapped(number)
        if 0 < value - self.newest <= LARGEST_GAP:
            self.suspects.clear()
            self._miss(self.newest + 1, value - 1, now)
            self.newest = value
        elif self._fill(value):
            self.suspects.clear()
        else:
            self._suspect(value, number, now, patience_s)

    def _from_before_the_first(self, number: int, now: float, patience_s: float) -> bool:
        """Several threads note frames, so the first to be noted need not be the oldest of a backlog."""
        if self.first is None:
            return False
        first, since = self.first
        if now - since > patience_s:
            self.first = None
            return False
        return 0 < first - number < WINDOW

    def _late_from_before(self, number: int, now: float, patience_s: float) -> bool:
        if self.past is None:
            return False
        last, since = self.past
        if now - since > patience_s:
            self.past = None
            return False
        return abs(number - last) <= WINDOW and number > self.newest - self.offset + _STEP

    def _unwrapped(self, number: int) -> int:
        newest = self.newest - self.offset
        for modulus in MODULI:
            if modulus - _NEAR_THE_END <= newest < modulus and number < _NEAR_THE_END:
                self.offset += modulus
                self.modulus = modulus
                return number + self.offset
            if self.modulus == modulus and newest < WINDOW and modulus - WINDOW <= number < modulus:
                return number + self.offset - modulus
        return number + self.offset

    def _miss(self, first: int, last: int, now: float) -> None:
        if first > last:
            return
        self.missing.append(_Range(first, last, now))
        if len(self.missing) > MOST_RANGES:
            self._give_up(self.missing.pop(0))

    def _fill(self, value: int) -> bool:
        index = bisect_right(self.missing, value, key=lambda one: one.first) - 1
        if index < 0 or value > self.missing[index].last:
            return False
        found = self.missing[index]
        pieces = [(found.first, value - 1), (value + 1, found.last)]
        self.missing[index : index + 1] = [_Range(a, b, found.since) for a, b in pieces if a <= b]
        return True

    def _suspect(self, value: int, number: int, now: float, patience_s: float) -> None:
        """Handle a number that came before, or is far away. One alone is a repetition or an error."""
        distance = value - self.newest
        far = distance <= -WINDOW or distance > LARGEST_GAP
        step = number - self.suspects[-1] if self.suspects else 0
        if 0 < step <= (_STEP if far else 1):
            self.suspects.append(number)
        elif far or number <= 1:
            self.suspects = [number]
        else:
            self.suspects.clear()
        if len(self.suspects) >= (2 if far else 3):
            self._begin_anew(now, patience_s)

    def _begin_anew(self, now: float, patience_s: float) -> None:
        numbers, self.suspects = self.suspects, []
        last = self._plain(self.newest)
        for one in self.missing:
            self._give_up(one)
        self.missing.clear()
        self.restarts += 1
        self.restarted = (last, numbers[0])
        self.past = (last, now)
        self.begun, self.offset, self.modulus = False, 0, None
        for number in numbers:
            self.note(number, now, patience_s)

    def _give_up(self, one: _Range) -> None:
        if one.first == one.last and self.modulus is not None and one.first % self.modulus == 0:
            return  # GigE Vision cameras leave 0 out when they wrap around
        self.given_up += one.last - one.first + 1
        if len(self.named) < NAMED_RANGES:
            self.named.append((self._plain(one.first), self._plain(one.last)))

    def _plain(self, value: int) -> int:
        return value if self.modulus is None else value % self.modulus

    def due(self, camera: str, now: float, policy: SequencePolicy, *, final: bool) -> Iterable[Gap | Restart]:
        waiting = []
        for one in self.missing:
            if now - one.since >= policy.patience_s:
                self._give_up(one)
            else:
                waiting.append(one)
        self.missing = waiting
        if self.given_up and (final or _pause_over(self.gap_reported, now, policy)):
            yield Gap(camera, self.given_up, tuple(self.named))
            self.given_up, self.named, self.gap_reported = 0, [], now
        if self.restarts and (final or _pause_over(self.restart_reported, now, policy)):
            yield Restart(camera, *self.restarted, self.restarts)
            self.restarts, self.restart_reported = 0, now


class SequenceTracker:
    """Follows the running numbers of many cameras. Not thread-safe; times are seconds of one clock.

    Reports numbers that did not come within the policy's patience, whatever came twice or out of order
    meanwhile. Does not report frames that were lost around a restart of the camera or before its first frame.
    """

    def __init__(self, policy: SequencePolicy | None = None) -> None:
        self._policy = policy or SequencePolicy()
        self._series: dict[str, _Series] = {}

    def knows(self, camera: str) -> bool:
        """Whether the camera has begun."""
        return camera in self._series

    def begin(self, camera: str, numbers: Iterable[int], now: float) -> bool:
        """Begin with a camera. ``numbers``: those of its newest earlier frames, oldest first.

        Numbers missing among them may be reported; a restart among them was reported. False beyond
        MOST_CAMERAS.
        """
        if len(self._series) >= MOST_CAMERAS:
            return False
        series = self._series[camera] = _Series()
        for number in numbers:
            series.note(number, now, self._policy.patience_s)
        series.restarts, series.first = 0, None
        return True

    def note(self, camera: str, number: int, now: float) -> None:
        """Note a frame of a camera that has begun."""
        self._series[camera].note(number, now, self._policy.patience_s)

    def due(self, now: float, *, final: bool = False) -> list[Gap | Restart]:
        """Findings to report now; each is returned once. ``final``: without waiting."""
        return [
            found
            for camera, series in self._series.items()
            for found in series.due(camera, now, self._policy, final=final)
        ]


def _pause_over(reported: float | None, now: float, policy: SequencePolicy) -> bool:
    return reported is None or now - reported >= policy.pause_s


REMEMBERED = 64
"""How many of the newest numbers in the history are read after a start."""
_REPORT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class SequenceGapOptions:
    """What the monitor needs of the configuration."""

    source: NumberSource = NumberSource.FIELD
    policy: SequencePolicy = field(default_factory=SequencePolicy)


class SequenceGapMonitor:
    """Notes each frame that the pipeline takes, and reports the frames that did not come.

    The stages that decode and record note frames. The record stage reports, right after it has noted all
    skipped frames: only then is a missing number really missing.
    """

    def __init__(
        self,
        options: SequenceGapOptions,
        history: History,
        events: EventLog,
        counters: Counters,
        rules: CameraRulebook,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._tracker = SequenceTracker(options.policy)
        self._history = history
        self._events = events
        self._counters = counters
        self._rules = rules
        self._clock = clock
        self._cameras: dict[str, Camera] = {}
        self._reported_at = float("-inf")
        self._lock = threading.Lock()

    def numbered(self, identity: FrameIdentity) -> FrameIdentity:
        """The identity with its running number filled in.

        Before a camera's first frame, the numbers of its earlier frames are read. Raises StorageError.
        """
        number = number_of(identity, self._options.source)
        if number is None:
            return identity
        with self._lock:
            self._begin(identity.camera)
        return replace(identity, sequence=number)

    def _begin(self, camera: Camera) -> None:
        name = str(camera)
        if self._tracker.knows(name):
            return
        numbers = self._history.recent_sequences(camera, REMEMBERED)
        if self._tracker.begin(name, numbers, self._clock()):
            self._cameras[name] = camera

    def note(self, identity: FrameIdentity) -> None:
        """Note a frame that will have a row."""
        number, name = number_of(identity, self._options.source), str(identity.camera)
        if number is None:
            return
        with self._lock:
            if self._tracker.knows(name):
                self._tracker.note(name, number, self._clock())
            else:
                self._counters.add("cameras_unwatched")

    def report(self, *, final: bool = False) -> None:
        """Report the findings that are due. Cheap enough to call at any time."""
        now = self._clock()
        if not final and now - self._reported_at < _REPORT_EVERY_S:
            return
        self._reported_at = now
        with self._lock:
            found = self._tracker.due(now, final=final)
        for one in found:
            camera = self._cameras[one.camera]
            alarmed = isinstance(one, Gap) and not self._rules.of(camera).shadow
            self._events.report(self._event(one), alert=camera if alarmed else None)

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


def _numbers(gap: Gap) -> str:
    """The oldest runs, as ``7, 12-15``."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in gap.ranges)
