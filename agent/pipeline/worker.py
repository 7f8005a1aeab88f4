"""A stage: a thread of the line, started again where it died, with what can be seen of it from outside."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent.domain.errors import StorageError
from agent.domain.frame import Camera
from agent.ports.health import StageState
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

T = TypeVar("T")

STORAGE_RETRY_S = 1.0


class StageThread:
    """One thread at a time runs it. What it has in hand stands outside of the thread and survives it."""

    def __init__(self, name: str, ending: threading.Event, counters: Counters) -> None:
        """``ending``: the line ends; storage is then not waited for any more."""
        self.name = name
        self.ended = threading.Event()
        """It will not run again: its work is done, or it was given up."""
        self.error: BaseException | None = None
        """What it died of, until it is started again."""
        self.given_up = False
        """It is not started again, whatever becomes of its thread."""
        self.restarts = 0
        self.storage_wait: str | None = None
        """Why storage is waited for; None where it answers."""
        self.left_undone = False
        """Storage refused while the line ended: what was in hand stays unacknowledged."""
        self._ending = ending
        self._counters = counters
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None

    def launch(self, run: Callable[[], None], died: Callable[[], None]) -> None:
        """Start a thread that does ``run``. It has ended where that returns; else ``error`` says why not."""
        self.error = None

        def main() -> None:
            try:
                run()
            except BaseException as error:
                # The last line of defence: whatever nobody foresaw must not leave a line that looks alive.
                logger.exception("the %s stage died", self.name)
                self._busy_since, self.storage_wait = None, None
                self.error = error
                died()
            else:
                self.ended.set()

        self._thread = threading.Thread(target=main, name=self.name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def started(self) -> bool:
        """Whether it was ever launched."""
        return self._thread is not None

    @property
    def busy_s(self) -> float | None:
        """Seconds at its present piece of work; None where it has none, or waits for others."""
        since = self._busy_since
        return None if since is None else time.monotonic() - since

    @property
    def state(self) -> StageState:
        """As it is seen from outside."""
        return StageState(self.name, self.alive, self.restarts, self.busy_s)

    # --------------------------------------------------------------------------- for its own thread

    @contextmanager
    def busy(self) -> Iterator[None]:
        """One piece of work. A supervisor sees one that does not end."""
        self._busy_since = time.monotonic()
        try:
            yield
        finally:
            self._busy_since, self.storage_wait = None, None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In a piece of work: waiting for storage, or for the stage behind, is not hanging."""
        was_busy = self._busy_since is not None
        self._busy_since = None
        try:
            yield
        finally:
            self._busy_since = time.monotonic() if was_busy else None

    def pause(self, error: StorageError) -> bool:
        """Wait before storage is tried again; False where the line ends and must not wait for it.

        What is then left undone stays unacknowledged, so the broker delivers it again.
        """
        self._counters.add("storage_retries")
        logger.error("waiting for storage: %s", error)
        self.storage_wait = str(error)
        with self.waiting():
            self.left_undone = self._ending.wait(STORAGE_RETRY_S)
        return not self.left_undone

    def retried(self, action: Callable[[], T]) -> T | None:
        """Do it once the database and the disk allow; None where the line ends before that."""
        while True:
            try:
                result = action()
            except StorageError as error:
                if not self.pause(error):
                    return None
            else:
                self.storage_wait = None
                return result


MOST_DEATHS = 2
"""A piece that a thread died of this often, the last time alone in hand, is given up."""


class Stage(Protocol[T]):
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


class StageRunner(Generic[T]):
    """Runs a desk for a stage. After a death the pieces in hand are tried again, one by one."""

    def __init__(
        self, stage: StageThread, desk: Stage[T], over: Callable[[], bool], gone: Callable[[], bool]
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

    def give_up_held(self, why: str, *, everything: bool) -> None:
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
