"""Backoff: growing pauses between attempts; run_with_timeout(): runs an action that may never end."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Backoff:
    """Pauses in seconds, each twice as long as the one before, up to a limit. Not thread-safe."""

    def __init__(self, first_s: float, longest_s: float, jitter: random.Random | None = None) -> None:
        """With ``jitter`` each pause is drawn from the upper half of its step, so that many agents do not
        return in the same instant."""
        self._first_s = first_s
        self._jitter = jitter
        self._longest_s = longest_s
        self._next_s = first_s
        self.failures = 0
        """Failures since the last success."""

    def failed(self) -> float:
        """Count a failure. Returns the seconds to wait."""
        pause_s, self._next_s = self._next_s, min(self._longest_s, 2.0 * self._next_s)
        self.failures += 1
        return pause_s if self._jitter is None else self._jitter.uniform(pause_s / 2.0, pause_s)

    def succeeded(self) -> None:
        """Begin again with the first pause."""
        self._next_s, self.failures = self._first_s, 0


def run_with_timeout(timeout_s: float, action: Callable[[], None], what: str) -> bool:
    """Run ``action`` in a thread of its own; False if it has not ended after ``timeout_s`` seconds.

    The thread is then left behind, and the log names it. Errors that it raises in time are raised here.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again for the caller, or logged
            raised.append(error)

    thread = threading.Thread(target=run, name=f"ending {what}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        logger.error("%s did not end within %g s; it is left behind", what, timeout_s)
        return False
    if raised:
        raise raised[0]
    return True
