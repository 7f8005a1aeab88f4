"""A storm of equal lines must not fill a disk: a few are said, the others counted and told as one line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 1.0
OF_A_CAMERA = 5
"""Lines a window that one place in the code may say of one camera."""
OF_NO_CAMERA = 50
"""The same where no camera is named: some commands say a list that way."""
WITH_TRACEBACK = 2
PLACES = 1_000
"""Places and cameras that are kept apart within one window."""


@dataclass(slots=True)
class _Spell:
    """What one place in the code said within one window."""

    record: logging.LogRecord
    """The last one."""
    said: int = 0
    held_back: int = 0


_Key = tuple[str, int, str]


class LogRate(logging.Filter):
    """A filter of a handler. Lines below INFO pass: whoever asks for them wants them all."""

    def __init__(
        self, emit: Callable[[logging.LogRecord], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``emit`` says the line that tells of those held back, past this filter."""
        super().__init__()
        self._emit = emit
        self._clock = clock
        self._lock = threading.Lock()
        self._ends = 0.0
        self._spells: dict[_Key, _Spell] = {}
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is said."""
        if record.levelno < logging.INFO:
            return True
        with self._lock:
            over = self._turn()
            spell = self._spell_of(record)
            passes = spell.said < _most(record)
            if passes:
                spell.said += 1
            else:
                spell.held_back += 1
                spell.record = record
                self._wake()
        self._tell(over)
        return passes

    def flush(self) -> None:
        """Tell now of what was held back."""
        with self._lock:
            over = self._end()
        self._tell(over)

    def _spell_of(self, record: logging.LogRecord) -> _Spell:
        key = (record.name, record.lineno, str(getattr(record, "camera", "")))
        if key not in self._spells and len(self._spells) >= PLACES:
            key = ("", 0, "")
        return self._spells.setdefault(key, _Spell(record))

    def _turn(self) -> list[_Spell]:
        """Begin a new window where the last one is over, and return what that one held back."""
        now = self._clock()
        if now < self._ends:
            return []
        over = self._end()
        self._ends = now + WINDOW_S
        return over

    def _end(self) -> list[_Spell]:
        over = [spell for spell in self._spells.values() if spell.held_back]
        self._spells, self._ends = {}, 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return over

    def _wake(self) -> None:
        """See to it that a storm's end is told although no line follows it."""
        if self._timer is None:
            self._timer = threading.Timer(WINDOW_S, self._settle, (self._ends,))
            self._timer.name = "log-rate"
            self._timer.daemon = True
            self._timer.start()

    def _settle(self, ends: float) -> None:
        with self._lock:
            # A timer that could not be cancelled in time belongs to a window that was told already.
            over = self._end() if self._ends == ends else []
        self._tell(over)

    def _tell(self, spells: list[_Spell]) -> None:
        for spell in spells:
            self._emit(_summary(spell))


def _most(record: logging.LogRecord) -> int:
    if record.exc_info:
        return WITH_TRACEBACK
    return OF_NO_CAMERA if getattr(record, "camera", None) is None else OF_A_CAMERA


def _summary(spell: _Spell) -> logging.LogRecord:
    last = spell.record
    more = "1 more such line was" if spell.held_back == 1 else f"{spell.held_back} more such lines were"
    text = f"{more} left out within a second; the last: {last.getMessage()}"
    said = logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, None, None)
    if hasattr(last, "camera"):
        said.camera = last.camera
    return said
