"""``LogRate``: limits equal log lines, so that a storm fills no disk; the rest become one summary line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 1.0
OF_A_CAMERA = 5
"""Lines in a window from one place in the code about one camera."""
OF_NO_CAMERA = 50
"""The same for lines about no camera: some commands log a list that way."""
WITH_TRACEBACK = 2
PLACES = 1_000
"""Pairs of place and camera that are counted separately in one window."""


@dataclass(slots=True)
class _Tally:
    """The lines of one place in the code within one window."""

    record: logging.LogRecord
    """The last one."""
    passed: int = 0
    suppressed: int = 0


_Key = tuple[str, int, str]


class LogRate(logging.Filter):
    """A filter of a handler. Lines below INFO always pass."""

    def __init__(
        self, emit: Callable[[logging.LogRecord], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``emit`` writes the summary of suppressed lines, past this filter."""
        super().__init__()
        self._emit = emit
        self._clock = clock
        self._lock = threading.Lock()
        self._ends = 0.0
        self._tallies: dict[_Key, _Tally] = {}
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the log line passes."""
        if record.levelno < logging.INFO:
            return True
        with self._lock:
            over = self._turn()
            tally = self._tally_of(record)
            passes = tally.passed < _most(record)
            if passes:
                tally.passed += 1
            else:
                tally.suppressed += 1
                tally.record = record
                self._start_timer()
        self._summarise(over)
        return passes

    def flush(self) -> None:
        """Write the summaries of suppressed lines now."""
        with self._lock:
            over = self._end()
        self._summarise(over)

    def _tally_of(self, record: logging.LogRecord) -> _Tally:
        key = (record.name, record.lineno, str(getattr(record, "camera", "")))
        if key not in self._tallies and len(self._tallies) >= PLACES:
            key = ("", 0, "")
        return self._tallies.setdefault(key, _Tally(record))

    def _turn(self) -> list[_Tally]:
        """Begin a new window if the last one is over, and return its tallies with suppressed lines."""
        now = self._clock()
        if now < self._ends:
            return []
        over = self._end()
        self._ends = now + WINDOW_S
        return over

    def _end(self) -> list[_Tally]:
        over = [tally for tally in self._tallies.values() if tally.suppressed]
        self._tallies, self._ends = {}, 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return over

    def _start_timer(self) -> None:
        """Start a timer, so that the end of a storm is summarised although no line follows."""
        if self._timer is None:
            self._timer = threading.Timer(WINDOW_S, self._time_out, (self._ends,))
            self._timer.name = "log-rate"
            self._timer.daemon = True
            self._timer.start()

    def _time_out(self, ends: float) -> None:
        with self._lock:
            # A timer that could not be cancelled in time belongs to a window that is already summarised.
            over = self._end() if self._ends == ends else []
        self._summarise(over)

    def _summarise(self, tallies: list[_Tally]) -> None:
        for tally in tallies:
            self._emit(_summary(tally))


def _most(record: logging.LogRecord) -> int:
    if record.exc_info:
        return WITH_TRACEBACK
    return OF_NO_CAMERA if getattr(record, "camera", None) is None else OF_A_CAMERA


def _summary(tally: _Tally) -> logging.LogRecord:
    last = tally.record
    more = "1 more such line was" if tally.suppressed == 1 else f"{tally.suppressed} more such lines were"
    text = f"{more} left out within a second; the last: {last.getMessage()}"
    summary = logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, None, None)
    if hasattr(last, "camera"):
        summary.camera = last.camera
    return summary
