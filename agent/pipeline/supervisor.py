"""The supervisor: a stage that died is started again, within a budget; one that hangs ends the line."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.pipeline.worker import StageThread
from agent.telemetry import Counters

logger = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often stages are looked at; a death is seen at once."""
FIRST_DELAY_S = 0.05
"""Before the first restart; doubled for each that stands in the budget: some trouble passes by itself."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """How patient the supervisor is."""

    restarts: int = 5
    """Stages started again within ``window_s``, of all stages together, before the line gives up. With one
    at least, a frame that a stage dies of is told apart from its neighbours."""
    window_s: float = 60.0
    hang_s: float = 300.0
    """Longest time at one piece of work until the line gives up; 0: never. Waiting for storage is none."""

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise ValueError("at least one restart is needed to tell which frame a stage dies of")


@dataclass(frozen=True, slots=True)
class SupervisedStage:
    """A stage under supervision."""

    stage: StageThread
    run: Callable[[], None]
    farewell: Callable[[str, bool], None] | None = None
    """Gives what is in hand its rows where the stage will not run again; True: everything in hand."""


class Supervisor:
    """Starts the stages and looks after them, in a thread of its own."""

    def __init__(
        self,
        charges: Sequence[SupervisedStage],
        policy: Supervision,
        counters: Counters,
        *,
        on_restart: Callable[[StageThread, str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        """``on_restart`` tells of a death; ``on_failure`` ends the line, with the reason. None may block."""
        self._charges = tuple(charges)
        self._policy = policy
        self._counters = counters
        self._on_restart = on_restart
        self._on_failure = on_failure
        self._look = threading.Event()
        self._stopped = threading.Event()
        self._spent: deque[float] = deque()
        self._due: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all stages."""
        for charge in self._charges:
            charge.stage.launch(charge.run, self._look.set)
        self._thread.start()

    def stop(self) -> None:
        """Look no more. What ended has ended."""
        self._stopped.set()
        self._look.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._look.wait(self._nap())
                self._look.clear()
                for charge in self._charges:
                    self._tend(charge)
        except Exception:
            # A line that nobody watches must not go on as if it were watched.
            logger.exception("the supervisor of the line died")
            self._on_failure("its supervisor died")

    def _nap(self) -> float:
        due = min(self._due.values(), default=float("inf"))
        return max(0.0, min(LOOK_S, due - time.monotonic()))

    def _tend(self, charge: SupervisedStage) -> None:
        stage = charge.stage
        if stage.given_up or stage.ended.is_set():
            return
        if stage.error is not None:
            self._mourn(charge, stage.error)
            return
        busy_s = stage.busy_s
        if self._policy.hang_s and busy_s is not None and busy_s > self._policy.hang_s:
            self._counters.add("stage_hangs")
            why = f"the {stage.name} stage of the agent did not come back within {self._policy.hang_s:g} s"
            self._give_up(charge, why, everything=True)

    def _mourn(self, charge: SupervisedStage, error: BaseException) -> None:
        stage, now = charge.stage, time.monotonic()
        if stage.name not in self._due:
            if not self._within_budget(now):
                self._give_up(
                    charge, f"the {stage.name} stage of the agent died of this twice", everything=False
                )
                return
            delay = FIRST_DELAY_S * 2 ** len(self._spent)
            self._spent.append(now)
            self._due[stage.name] = now + delay
            return
        if now < self._due[stage.name]:
            return
        del self._due[stage.name]
        stage.restarts += 1
        self._counters.add("stage_restarts")
        self._on_restart(stage, type(error).__name__)
        stage.launch(charge.run, self._look.set)

    def _within_budget(self, now: float) -> bool:
        while self._spent and now - self._spent[0] > self._policy.window_s:
            self._spent.popleft()
        return len(self._spent) < self._policy.restarts

    def _give_up(self, charge: SupervisedStage, why: str, *, everything: bool) -> None:
        """End the line. The stage itself ends once its frames have got their rows."""
        stage = charge.stage
        logger.error("%s; the line ends so that the agent is started anew", why)
        stage.given_up = True
        self._due.pop(stage.name, None)
        self._on_failure(why)
        farewell = charge.farewell
        if farewell is None:
            stage.ended.set()
            return

        def last() -> None:
            try:
                farewell(why, everything)
            except Exception:
                # They stay unacknowledged; the broker delivers them again.
                logger.exception("what the %s stage had in hand could not be given its rows", stage.name)
                self._counters.add("farewells_failed")
            finally:
                stage.ended.set()

        threading.Thread(target=last, name=f"{stage.name}-farewell", daemon=True).start()
