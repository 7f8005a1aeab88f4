"""Running numbers of cameras: which frames never came, and where a camera began to count anew."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.frame import FrameIdentity

WINDOW = 1_000
"""A number so far behind the newest is no late frame any more: the camera counts anew."""
LARGEST_GAP = 1_000_000
"""A jump beyond that is another numbering, not a gap."""
MODULI = (2**16, 2**32)
"""Where counters of cameras begin again without having been restarted."""
MOST_CAMERAS = 1_024
MOST_RANGES = 256
NAMED_RANGES = 16

_NEAR_THE_END = 64
_STEP = 100
_DIGITS = re.compile(r"\d{1,18}\Z")


class NumberSource(StrEnum):
    """Where the running number of a frame stands."""

    FIELD = "field"
    """In the field ``sequence`` of the frame."""
    FRAME_ID = "frame_id"
    """The digits that the frame id ends in."""
    AUTO = "auto"
    """In the field, else in the frame id."""
    OFF = "off"


def number_of(identity: FrameIdentity, source: NumberSource) -> int | None:
    """The running number of a frame; None where it has none.

    An id that was derived from the picture counts nothing, whatever digits it ends in.
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
class NumberingPolicy:
    """How patiently missing numbers are waited for."""

    patience_s: float = 10.0
    """Frames are noted by several threads: so long a missing number may still turn up."""
    pause_s: float = 60.0
    """A camera that loses frames all the time is told of so often, each time with all that it lost."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames of one camera that never came."""

    camera: str
    frames: int
    ranges: tuple[tuple[int, int], ...]
    """First and last number of each run, the oldest ones: at most NAMED_RANGES."""

    def sentence(self) -> str:
        """For people."""
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
    """A camera began to count anew."""

    camera: str
    last: int
    first: int
    times: int = 1
    """How often since it was last told; ``last`` and ``first`` are of the latest."""

    def sentence(self) -> str:
        """For people."""
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
    """The numbers of one camera. Inside, they run on where a counter wraps around."""

    begun: bool = False
    newest: int = 0
    offset: int = 0
    modulus: int | None = None
    missing: list[_Range] = field(default_factory=list)
    """By number, none overlapping."""
    suspects: list[int] = field(default_factory=list)
    """Numbers that make no sense in this series and may be the first of a new one."""
    past: tuple[int, float] | None = None
    """Newest number before the last restart, and when that was noticed."""
    given_up: int = 0
    named: list[tuple[int, int]] = field(default_factory=list)
    restarts: int = 0
    restarted: tuple[int, int] = (0, 0)
    gap_told: float | None = None
    restart_told: float | None = None

    def note(self, number: int, now: float, patience_s: float) -> None:
        if not self.begun:
            self.begun, self.newest = True, number
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
        """A number that was there before, or is far away. One alone is a repetition or a slip."""
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

    def due(
        self, camera: str, now: float, policy: NumberingPolicy, *, final: bool
    ) -> Iterable[Gap | Restart]:
        waiting = []
        for one in self.missing:
            if now - one.since >= policy.patience_s:
                self._give_up(one)
            else:
                waiting.append(one)
        self.missing = waiting
        if self.given_up and (final or _pause_over(self.gap_told, now, policy)):
            yield Gap(camera, self.given_up, tuple(self.named))
            self.given_up, self.named, self.gap_told = 0, [], now
        if self.restarts and (final or _pause_over(self.restart_told, now, policy)):
            yield Restart(camera, *self.restarted, self.restarts)
            self.restarts, self.restart_told = 0, now


class Numbering:
    """Follows the running numbers of many cameras. Not thread-safe; times are seconds of one clock.

    What is told: numbers that did not come within the policy's patience, whatever came twice or out of order
    meanwhile. What is not: frames that were lost around a restart of the camera, or before its first frame.
    """

    def __init__(self, policy: NumberingPolicy | None = None) -> None:
        self._policy = policy or NumberingPolicy()
        self._series: dict[str, _Series] = {}

    def knows(self, camera: str) -> bool:
        """Whether the camera was met."""
        return camera in self._series

    def meet(self, camera: str, numbers: Iterable[int], now: float) -> bool:
        """Begin with a camera: ``numbers`` are its newest frames of before, the oldest first.

        What is missing among them may be told; a restart among them was. False where MOST_CAMERAS are known.
        """
        if len(self._series) >= MOST_CAMERAS:
            return False
        series = self._series[camera] = _Series()
        for number in numbers:
            series.note(number, now, self._policy.patience_s)
        series.restarts = 0
        return True

    def note(self, camera: str, number: int, now: float) -> None:
        """A frame of a camera that was met."""
        self._series[camera].note(number, now, self._policy.patience_s)

    def due(self, now: float, *, final: bool = False) -> list[Gap | Restart]:
        """What is to be told now; each finding is returned once. ``final``: without a pause."""
        return [
            found
            for camera, series in self._series.items()
            for found in series.due(camera, now, self._policy, final=final)
        ]


def _pause_over(told: float | None, now: float, policy: NumberingPolicy) -> bool:
    return told is None or now - told >= policy.pause_s
