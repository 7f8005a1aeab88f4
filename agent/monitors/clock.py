"""ClockGuard: whether the date can be believed before anything is deleted for its age."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

JUMP = timedelta(hours=1)
"""How far the date may run ahead of the time that passed: a daylight change on a clock without a zone."""

WINDOW = timedelta(days=2)
"""How long to watch a date that nothing confirms. A longer pause of the production confirms nothing."""


def elapsed_s() -> float:
    """Seconds that passed, whatever the date is. Includes the system's sleep if the system counts it."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def now_utc() -> datetime:
    """The system's date and time."""
    return datetime.now(UTC)


class ClockGuard:
    """Doubts a date that is ahead of everything else that measures time.

    A clock that jumps ahead by years makes every image look old enough to delete. Two things show that time
    has really passed. The first is the machine's steady clock: if the date moved ahead of it by more than
    :data:`JUMP`, the date jumped. The second is the history, for the start, when the steady clock has
    measured nothing yet. If the last frame or event before the last :data:`WINDOW` is at most twice that
    window old, the history reaches up to now without a gap and the date is good.

    A production line that stood still for weeks looks like a clock that jumped. Neither may stop the
    retention
    for ever. So a date that nothing confirms is believed after a window of steady running: by then somebody
    can have read the alarm and set the clock. A jump of less than twice the window is not noticed if it
    happened while the agent was not running. Images are then deleted so much earlier.
    """

    def __init__(
        self, clock: Callable[[], datetime] = now_utc, steady_s: Callable[[], float] = elapsed_s
    ) -> None:
        self._clock = clock
        self._steady_s = steady_s
        self._offset = self._offset_now()
        self._since = steady_s()
        self._jumped: timedelta | None = None

    def doubt(self, newest_before: Callable[[datetime], datetime | None]) -> str | None:
        """Why the date is not believed, in one sentence; None if it is believed.

        Args:
            newest_before: the time of the last frame or event in the history before a moment.
        """
        self._watch()
        steady = timedelta(seconds=self._steady_s() - self._since)
        if steady >= WINDOW:
            self._jumped = None
            return None
        if self._jumped is not None:
            return f"the clock jumped ahead by {_days(self._jumped)}"
        now = self._clock()
        last = newest_before(now - WINDOW)
        if last is None or last >= now - 2 * WINDOW:
            return None
        gap = _days(now - WINDOW - last)
        return f"the history has nothing from the {gap} before {now - WINDOW:%Y-%m-%d}"

    def _watch(self) -> None:
        offset = self._offset_now()
        ahead = offset - self._offset
        if ahead > JUMP:
            self._jumped = ahead if self._jumped is None else self._jumped + ahead
            self._offset, self._since = offset, self._steady_s()
        elif ahead < -JUMP:  # the clock was set back: measure from here
            left = timedelta() if self._jumped is None else self._jumped + ahead
            self._jumped = left if left > JUMP else None
            self._offset = offset

    def _offset_now(self) -> timedelta:
        """The date minus the steady clock; it changes only if somebody sets the date."""
        return self._clock() - datetime.fromtimestamp(0, UTC) - timedelta(seconds=self._steady_s())


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
