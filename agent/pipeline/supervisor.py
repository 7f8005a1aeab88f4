"""Supervisor: restarts a stage that died, within a budget; ends the pipeline if one hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.limits import FEWEST_RESTARTS
from agent.event_log import EventLog
from agent.pipeline.worker import StageThread
from agent.telemetry import Counters

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Supervision:
    """How patient the supervisor is."""

    restarts: int = 5
    """Restarts of all stages together within ``window_s`` before the pipeline gives up. At least one is
    needed to distinguish a frame that a stage dies of from its neighbours."""
    window_s: float = 60.0
    hang_s: float = 300.0
    """Longest time at one piece of work until the pipeline gives up; 0: never. Waiting for storage does not
    count."""
    first_delay_s: float = 0.05
    """Pause before the first restart, doubled for each in the window: some trouble passes by itself."""
    look_s: float = 0.25
    """How often to look for hanging stages; a death is seen at once."""

    def __post_init__(self) -> None:
        if self.restarts < FEWEST_RESTARTS:
            raise ValueError("at least one restart is needed to find out which frame a stage dies of")


class SupervisedStage(Protocol):
    """A stage under supervision: a thread and what it runs."""

    @property
    def thread(self) -> StageThread: ...

    @property
    def cameras(self) -> Sequence[Camera]:
        """The cameras of the work in hand."""
        ...

    def run(self) -> None:
        """Work until nothing more can come. Called again in another thread after a death."""
        ...

    def on_give_up(self, why: str, *, everything: bool) -> None:
        """Write the rows of what is in hand: the stage will not run again."""
        ...


class Shutdown:
    """The end of the pipeline: who asked for it, and how far it has come."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self.ending = threading.Event()
        """Nothing more is admitted; admitted frames are finished."""
        self.abandoned = threading.Event()
        """Unfinished frames are left to the broker."""
        self.draining = threading.Event()
        """All rows are written: publishers send what they can and end."""
        self.failed = threading.Event()
        """The pipeline gave up; the agent should end and be restarted."""

    def fail(self, why: str) -> None:
        """Give up. The first reason counts. Never blocks."""
        if not self.failed.is_set():
            message = f"{why}; the agent ends so that it is started anew"
            self._events.report(Event("pipeline-failed", message, datetime.now(UTC), severity="error"))
            self.failed.set()
            self.ending.set()


class Supervisor:
    """Starts and watches the stages, in a thread of its own."""

    def __init__(
        self,
        stages: Sequence[SupervisedStage],
        policy: Supervision,
        shutdown: Shutdown,
        events: EventLog,
        counters: Counters,
    ) -> None:
        self._stages = tuple(stages)
        self._policy = policy
        self._shutdown = shutdown
        self._events = events
        self._counters = counters
        self._look = threading.Event()
        self._stopped = threading.Event()
        self._spent: deque[float] = deque()
        self._due: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        for stage in self._stages:
            stage.thread.launch(stage, self._look)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._look.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._look.wait(self._nap())
                self._look.clear()
                for stage in self._stages:
                    self._tend(stage)
        except Exception:
            # Without its supervisor the pipeline must not go on.
            logger.exception("the supervisor of the pipeline died")
            self._shutdown.fail("its supervisor died")

    def _nap(self) -> float:
        due = min(self._due.values(), default=float("inf"))
        return max(0.0, min(self._policy.look_s, due - time.monotonic()))

    def _tend(self, stage: SupervisedStage) -> None:
        thread = stage.thread
        if thread.given_up or thread.ended.is_set():
            return
        if thread.error is not None:
            self._restart(stage, thread.error)
            return
        busy_s = thread.busy_s
        if self._policy.hang_s and busy_s is not None and busy_s > self._policy.hang_s:
            self._counters.add("stage_hangs")
            why = f"the {thread.name} stage of the agent did not come back within {self._policy.hang_s:g} s"
            self._give_up(stage, why, everything=True)

    def _restart(self, stage: SupervisedStage, error: BaseException) -> None:
        """Restart a stage after its pause, if the budget allows."""
        thread, now = stage.thread, time.monotonic()
        if thread.name not in self._due:
            if not self._within_budget(now):
                why = f"the {thread.name} stage of the agent died of this twice"
                self._give_up(stage, why, everything=False)
                return
            delay = self._policy.first_delay_s * 2 ** len(self._spent)
            self._spent.append(now)
            self._due[thread.name] = now + delay
            return
        if now < self._due[thread.name]:
            return
        del self._due[thread.name]
        thread.restarts += 1
        self._counters.add("stage_restarts")
        self._report_restart(stage, error)
        thread.launch(stage, self._look)

    def _report_restart(self, stage: SupervisedStage, error: BaseException) -> None:
        camera = next(iter(stage.cameras), None)
        event = Event(
            "stage-restarted",
            f"the {stage.thread.name} stage died ({type(error).__name__}, see the log) and was started again",
            datetime.now(UTC),
            camera=None if camera is None else str(camera),
            severity="error",
        )
        self._events.report(event, alert=camera)

    def _within_budget(self, now: float) -> bool:
        while self._spent and now - self._spent[0] > self._policy.window_s:
            self._spent.popleft()
        return len(self._spent) < self._policy.restarts

    def _give_up(self, stage: SupervisedStage, why: str, *, everything: bool) -> None:
        """End the pipeline. The stage itself ends once its frames have their rows."""
        thread = stage.thread
        thread.given_up = True
        self._due.pop(thread.name, None)
        self._shutdown.fail(why)

        def last() -> None:
            try:
                stage.on_give_up(why, everything=everything)
            except Exception:
                # They stay unacknowledged; the broker delivers them again.
                logger.exception("what the %s stage had in hand could not be given its rows", thread.name)
                self._counters.add("rescues_failed")
            finally:
                thread.ended.set()

        threading.Thread(target=last, name=f"{thread.name}-rescue", daemon=True).start()
