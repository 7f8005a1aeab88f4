"""StageThread: a thread that is restarted if it dies; StageRunner: the work that it has in hand."""

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

MOST_DEATHS = 2
"""A piece that a thread died of this often, the last time alone in hand, is given up."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the pipeline waits, in seconds."""

    poll_s: float = 0.2
    """For work, before a stage checks whether it should end."""
    storage_retry_s: float = 1.0
    """Before the next try after storage refused."""
    job_grace_s: float = 2.0
    """For the retained jobs of cameras whose first frames have no SKU."""
    publish_retry_s: float = 1.0
    """Before the first new try on a sink that was away."""
    refusal_rest_s: float = 1.0
    """Before the first new try of a message that the receiver refused."""
    stop_s: float = 20.0
    """At the end, for admitted frames. Together with the pauses below it stays under the 60 s that systemd
    and containers are asked to wait."""
    abandon_s: float = 2.0
    """Then, for threads that have to leave what they have in hand."""
    last_s: float = 10.0
    """Then, for messages that can still be published and acknowledgements that are due."""
    close_s: float = 8.0
    """Then, for recipes under way."""


class Runnable(Protocol):
    """What a stage thread runs."""

    def run(self) -> None:
        """Work until nothing more can come."""
        ...


class StageThread:
    """One thread at a time runs the stage. The work in hand is kept outside the thread and survives it."""

    def __init__(
        self, name: str, ending: threading.Event, counters: Counters, pace: Pace | None = None
    ) -> None:
        """``ending``: the pipeline ends, so the stage waits for storage no longer."""
        self.name = name
        self.pace = pace or Pace()
        self.ended = threading.Event()
        """The stage will not run again: its work is done, or it was given up."""
        self.error: BaseException | None = None
        """What the thread died of, until it is restarted."""
        self.given_up = False
        """The stage is not restarted, whatever becomes of its thread."""
        self.restarts = 0
        self.storage_wait: str | None = None
        """Why the stage waits for storage; None if storage answers."""
        self.left_undone = False
        """Storage refused while the pipeline ended: the work in hand stays unacknowledged."""
        self._ending = ending
        self._counters = counters
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None

    def launch(self, work: Runnable, died: threading.Event) -> None:
        """Start a thread that runs ``work``. If that returns, the stage has ended; if not, see ``error``."""
        self.error = None

        def main() -> None:
            try:
                work.run()
            except BaseException as error:
                # The last safeguard: an unforeseen error must not leave a pipeline that only looks alive.
                logger.exception("the %s stage died", self.name)
                self._busy_since, self.storage_wait = None, None
                self.error = error
                died.set()
            else:
                self.ended.set()

        self._thread = threading.Thread(target=main, name=self.name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def started(self) -> bool:
        """Whether the stage was ever launched."""
        return self._thread is not None

    @property
    def busy_s(self) -> float | None:
        """Seconds at the present piece of work; None without one, or while it waits for others."""
        since = self._busy_since
        return None if since is None else time.monotonic() - since

    @property
    def state(self) -> StageState:
        """The stage's state, for metrics and health checks."""
        return StageState(self.name, self.alive, self.restarts, self.busy_s)

    # --------------------------------------------------------------------------- for its own thread

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Time one piece of work, so that the supervisor sees one that does not end."""
        self._busy_since = time.monotonic()
        try:
            yield
        finally:
            self._busy_since, self.storage_wait = None, None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Stop that time while a piece waits for storage or for the next stage: waiting is not hanging."""
        was_busy = self._busy_since is not None
        self._busy_since = None
        try:
            yield
        finally:
            self._busy_since = time.monotonic() if was_busy else None

    def pause(self, error: StorageError) -> bool:
        """Pause before storage is tried again; False if the pipeline ends and must not wait for it.

        Work that is then left undone stays unacknowledged, so the broker delivers it again.
        """
        self._counters.add("storage_retries")
        logger.error("waiting for storage: %s", error)
        self.storage_wait = str(error)
        with self.waiting():
            self.left_undone = self._ending.wait(self.pace.storage_retry_s)
        return not self.left_undone

    def retried(self, action: Callable[[], T]) -> T | None:
        """Repeat ``action`` until database and disk allow it; None if the pipeline ends before that."""
        while True:
            try:
                result = action()
            except StorageError as error:
                if not self.pause(error):
                    return None
            else:
                self.storage_wait = None
                return result


class Stage(Protocol[T]):
    """What a stage does with its pieces of work."""

    def take(self) -> Sequence[T]:
        """The next pieces of work; empty if nothing came within a moment."""
        ...

    def work(self, pieces: Sequence[T]) -> None:
        """Do the pieces. May be called again with pieces that were not finished."""
        ...

    def give_up(self, piece: T, reason: str, times: int) -> T:
        """The same piece made harmless, so that it still ends as a row. ``times``: how often that was tried.

        The thread that hangs in the piece may go on with it, so the result must not be shared with it.
        """
        ...

    def camera(self, piece: T) -> Camera:
        """The piece's camera."""
        ...


@dataclass(slots=True)
class _Held(Generic[T]):
    piece: T
    tries: int = 0


class StageRunner(Generic[T]):
    """Runs a stage in its thread. After a death, the pieces in hand are tried again one by one."""

    def __init__(
        self,
        thread: StageThread,
        stage: Stage[T],
        upstream_ended: threading.Event,
        abandoned: threading.Event,
        *,
        rescues_when_hanging: bool = True,
    ) -> None:
        """
        Args:
            thread: runs the stage.
            stage: does the work.
            upstream_ended: nothing more can come; the stage ends once it finds no more work.
            abandoned: leave everything undone.
            rescues_when_hanging: whether a stage that hangs gives its pieces up. One that hangs in the
                database does not: its frames are judged and wait for that.
        """
        self.thread = thread
        self._stage = stage
        self._upstream_ended = upstream_ended
        self._abandoned = abandoned
        self._rescues_when_hanging = rescues_when_hanging
        self._held: list[_Held[T]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def cameras(self) -> list[Camera]:
        """The cameras of the work in hand, each once."""
        return list(dict.fromkeys(self._stage.camera(held.piece) for held in list(self._held)))

    def run(self) -> None:
        """Work until nothing more can come. Pieces that the thread before died with come first."""
        self._work()
        while not self._abandoned.is_set() and not self.thread.left_undone:
            over = self._upstream_ended.is_set()  # asked first: what came before the end is then taken below
            pieces = self._stage.take()
            if pieces:
                self._held = [_Held(piece) for piece in pieces]
                self._work()
            elif over:
                return

    def _work(self) -> None:
        while self._held and not self._abandoned.is_set():
            # A thread died with these pieces: each is suspect and is tried alone.
            suspects = any(held.tries for held in self._held)
            now = self._held[:1] if suspects else list(self._held)
            for held in now:
                if held.tries >= MOST_DEATHS:
                    held.piece = self._stage.give_up(held.piece, self._reason(), held.tries - MOST_DEATHS + 1)
                held.tries += 1
            with self.thread.busy():
                self._stage.work([held.piece for held in now])
            del self._held[: len(now)]

    def on_give_up(self, why: str, *, everything: bool) -> None:
        """Write the row of what killed the stage for good: otherwise it would come again for ever.

        Args:
            why: what became of the stage, for the rows.
            everything: give up all that is in hand, because it is not known which piece hangs.
        """
        if everything and not self._rescues_when_hanging:
            return
        for held in list(self._held):
            if everything or held.tries >= MOST_DEATHS:
                piece = self._stage.give_up(held.piece, why, max(1, held.tries - MOST_DEATHS + 1))
                self._stage.work([piece])

    def _reason(self) -> str:
        return f"the {self.thread.name} stage of the agent died of this twice; see its log"
