"""A question that may take its time: asked beside, answered in time or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from agent.domain.errors import SightlineError

T = TypeVar("T")

FRESH_S = 1.0
"""How long an answer is given again without asking."""
PATIENCE_S = 2.0
"""How long somebody waits for one."""


class NoAnswerError(SightlineError):
    """Whoever was asked did not answer in time."""


class CachedProbe(Generic[T]):
    """Asks a database or a file system in a thread of its own, at most one at a time.

    A disk that hangs then costs one thread and a clear sentence, however many scrapes come meanwhile.
    """

    def __init__(
        self, what: str, ask: Callable[[], T], *, fresh_s: float = FRESH_S, patience_s: float = PATIENCE_S
    ) -> None:
        """``what``: who is asked, for the sentence where no answer comes."""
        self._what = what
        self._ask = ask
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._asked: _Asked[T] | None = None

    def answer(self) -> T:
        """The answer, at most ``fresh_s`` old.

        Raises:
            NoAnswerError: none within ``patience_s``; the question stands, and a later call may hear it.
            Exception: whatever asking raised.
        """
        with self._lock:
            if self._asked is None or self._asked.stale(self._fresh_s):
                self._asked = _Asked(self._ask)
                threading.Thread(target=self._asked.run, name=f"ask {self._what}", daemon=True).start()
            asked = self._asked
        if not asked.done.wait(self._patience_s):
            raise NoAnswerError(f"{self._what} gave no answer within {self._patience_s:g} s")
        return asked.result()


class _Asked(Generic[T]):
    """One asking and what came of it."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._ask = ask
        self._value: T
        self._error: Exception | None = None
        self._at = 0.0

    def run(self) -> None:
        try:
            self._value = self._ask()
        except Exception as error:  # noqa: BLE001 - the thread's edge: result() raises it again
            self._error = error
        self._at = time.monotonic()
        self.done.set()

    def stale(self, fresh_s: float) -> bool:
        return self.done.is_set() and time.monotonic() - self._at > fresh_s

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value
