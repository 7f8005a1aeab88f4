"""What a stage has in hand: it outlives the thread, and tells the piece of work that no thread survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent.domain.frame import Camera
from agent.line.stage import Stage

T = TypeVar("T")

MOST_DEATHS = 2
"""A piece that a thread died of this often, the last time alone in hand, is given up."""


class Desk(Protocol[T]):
    """What a stage does."""

    def take(self) -> Sequence[T]:
        """The next pieces of work; none where nothing came within a moment."""
        ...

    def work(self, pieces: Sequence[T]) -> None:
        """Do them. May be called again with pieces that it was not done with."""
        ...

    def give_up(self, piece: T, reason: str, times: int) -> T:
        """The same piece made harmless, so that it still ends as a row; ``times``: how often that was tried.

        The thread that hangs in the piece may go on with it: what is returned is not shared with it.
        """
        ...

    def camera(self, piece: T) -> Camera:
        """Whose piece it is."""
        ...


@dataclass(slots=True)
class _Held(Generic[T]):
    piece: T
    tries: int = 0


class Hand(Generic[T]):
    """Runs a desk for a stage. After a death the pieces in hand are tried again, one by one."""

    def __init__(
        self, stage: Stage, desk: Desk[T], over: Callable[[], bool], gone: Callable[[], bool]
    ) -> None:
        """``over``: nothing more can come, so what is taken no more is all; ``gone``: leave everything."""
        self._stage = stage
        self._desk = desk
        self._over = over
        self._gone = gone
        self._held: list[_Held[T]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def cameras(self) -> list[Camera]:
        """Whose work is in hand, each once."""
        return list(dict.fromkeys(self._desk.camera(held.piece) for held in list(self._held)))

    def run(self) -> None:
        """Work until nothing more can come. What was in hand when the thread before died comes first."""
        self._work()
        while not self._gone() and not self._stage.left_undone:
            over = self._over()  # asked first: what came before the end is taken below
            pieces = self._desk.take()
            if pieces:
                self._held = [_Held(piece) for piece in pieces]
                self._work()
            elif over:
                return

    def _work(self) -> None:
        while self._held and not self._gone():
            # Those that a thread died with are suspects: each is tried alone.
            suspects = any(held.tries for held in self._held)
            now = self._held[:1] if suspects else list(self._held)
            for held in now:
                if held.tries >= MOST_DEATHS:
                    held.piece = self._desk.give_up(held.piece, self._reason(), held.tries - MOST_DEATHS + 1)
                held.tries += 1
            with self._stage.busy():
                self._desk.work([held.piece for held in now])
            del self._held[: len(now)]

    def say_farewell(self, why: str, *, everything: bool) -> None:
        """The stage will not run again: what killed it still gets its row, or it would come again for ever.

        Args:
            why: what became of the stage; stands in the rows.
            everything: all that is in hand, because nobody can tell which piece it is that hangs.
        """
        for held in list(self._held):
            if everything or held.tries >= MOST_DEATHS:
                self._desk.work([self._desk.give_up(held.piece, why, max(1, held.tries - MOST_DEATHS + 1))])

    def _reason(self) -> str:
        return f"the {self._stage.name} stage of the agent died of this twice; its log says why"
