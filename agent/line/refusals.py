"""Refusals: messages that the broker does not take for now. They rest, so that others go out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_REST_S = 1.0
LONGEST_REST_S = 300.0
MOST = 500


@dataclass(slots=True)
class _Rest:
    until: float
    length_s: float


class Refusals:
    """Which messages rest, and for how long: twice as long after each refusal. Not thread-safe.

    Rights may be put right, so a refused message is tried again. How many rest is bounded, though: a frame
    may ask for its answer where the agent may not write, and anybody may send such frames.
    """

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._rests: dict[int, _Rest] = {}

    def note(self, number: int) -> bool:
        """The message was refused, once more perhaps; False where there is no room for it to rest."""
        rest = self._rests.get(number)
        if rest is None and len(self._rests) >= self._most:
            return False
        length_s = FIRST_REST_S if rest is None else min(LONGEST_REST_S, 2.0 * rest.length_s)
        self._rests[number] = _Rest(self._clock() + length_s, length_s)
        return True

    def forget(self, number: int) -> None:
        """The message has gone out."""
        self._rests.pop(number, None)

    def knows(self, number: int) -> bool:
        """Whether the message was refused before."""
        return number in self._rests

    @property
    def numbers(self) -> tuple[int, ...]:
        """Messages that are not to be tried now."""
        now = self._clock()
        return tuple(number for number, rest in self._rests.items() if rest.until > now)
