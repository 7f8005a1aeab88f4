"""``Experience``: what a model's answers have shown so far, its speed and whether thinking helps it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

READS_PER_S, WRITES_PER_S = 15.0, 4.0
"""Tokens a second of a 7B model on a CPU, until something is measured."""
SLACK = 2.5
"""An answer may take so many times as long as its expected tokens take at the speed of before."""
SHORTEST_S = 30.0
"""No limit is shorter: a server that serves others too lets a question wait."""
USUAL_TIMEOUT_S = 300.0
"""The timeout for which the slack is meant; a longer one stretches all limits."""
_FEWEST_TOKENS = 10
"""Of which a speed is taken; the clock of fewer measures the start."""
_REMEMBERED = 8
TOKENS_OF_IMAGE = 800


class Measured(Protocol):
    """What an answer tells of its speed: tokens and seconds."""

    @property
    def read(self) -> tuple[int, float]: ...

    @property
    def written(self) -> tuple[int, float]: ...


class Experience:
    """Of one model: equal digests share it. The slowest of the last answers counts."""

    def __init__(self) -> None:
        self._read: deque[float] = deque(maxlen=_REMEMBERED)
        self._written: deque[float] = deque(maxlen=_REMEMBERED)
        self.think: bool | None = None
        """The switch of the last answer that could be used."""
        self.answered = False
        """Whether any answer could be used."""

    @property
    def reads_per_s(self) -> float:
        return min(self._read, default=READS_PER_S)

    @property
    def writes_per_s(self) -> float:
        return min(self._written, default=WRITES_PER_S)

    def observe(self, reply: Measured) -> None:
        """Measure an answer, usable or not."""
        for (tokens, seconds), speeds in ((reply.read, self._read), (reply.written, self._written)):
            if tokens >= _FEWEST_TOKENS and seconds > 0:
                speeds.append(tokens / seconds)

    def worked(self, think: bool | None) -> None:
        """Remember the switch of an answer that could be used."""
        self.think, self.answered = think, True

    def expected_s(self, read: float, written: float) -> float:
        """How long a question of ``read`` tokens with an answer of ``written`` tokens takes."""
        return read / self.reads_per_s + written / self.writes_per_s

    def limit_s(self, read: float, written: float, timeout_s: float) -> float:
        """How long to wait for that answer, at most ``timeout_s``."""
        stretched = SLACK * max(1.0, timeout_s / USUAL_TIMEOUT_S)
        return min(timeout_s, max(SHORTEST_S, stretched * self.expected_s(read, written)))


def tokens_of(texts: Iterable[str], images: int = 0) -> float:
    """About how many tokens a model reads: three bytes each, and what a vision model makes of an image."""
    return sum(len(text.encode()) for text in texts) / 3 + images * TOKENS_OF_IMAGE
