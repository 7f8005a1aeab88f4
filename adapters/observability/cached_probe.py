"""``CachedProbe``: a probe that may be slow runs in a thread of its own and answers in time or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from agent.domain.errors import SightlineError

T = TypeVar("T")

FRESH_S = 1.0
"""How long an answer is reused without probing again."""
PATIENCE_S = 2.0
"""How long a caller waits for an answer."""


class NoAnswerError(SightlineError):
    """The probe did not answer in time."""


class CachedProbe(Generic[T]):
    """Probes a database or a file system in a thread of its own, at most one at a time.

    A disk that hangs then costs one thread and a clear sentence, however many scrapes come meanwhile.
    """

    def __init__(
        self, what: str, probe: Callable[[], T], *, fresh_s: float = FRESH_S, patience_s: float = PATIENCE_S
    ) -> None:
        """``what``: the thing that is probed, for the sentence when no answer comes."""
        self._what = what
        self._probe = probe
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._running: _Run[T] | None = None

    def answer(self) -> T:
        """The answer, at most ``fresh_s`` old.

        Raises:
            NoAnswerError: none within ``patience_s``; the probe goes on, and a later call may get its answer.
            Exception: whatever the probe raised.
        """
        with self._lock:
            if self._running is None or self._running.stale(self._fresh_s):
                self._running = _Run(self._probe)
                threading.Thread(target=self._running.run, name=f"probe {self._what}", daemon=True).start()
            running = self._running
        if not running.done.wait(self._patience_s):
            raise NoAnswerError(f"{self._what} gave no answer within {self._patience_s:g} s")
        return running.result()


class _Run(Generic[T]):
    """One run of the probe, and its result."""

    def __init__(self, probe: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._probe = probe
        self._value: T
        self._error: Exception | None = None
        self._at = 0.0

    def run(self) -> None:
        try:
            self._value = self._probe()
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
