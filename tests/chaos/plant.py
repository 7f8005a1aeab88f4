"""The factory of one campaign: broker, database, agent, a customer; all on this machine, all its own."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.chaos.agent import Agent
from tests.chaos.customer import Customer, Watcher
from tests.chaos.databases import Faulty, Kind, open_database
from tests.chaos.judge import count_rows
from tests.chaos.witness import Witness
from tests.fixtures.mosquitto import MOSQUITTO, Mosquitto
from tests.system.process import write_config

START_S = 90.0
STALL_S = 45.0
"""How long nothing may come before a campaign gives up waiting."""

_UNLIMITED = "max_queued_messages 0\nmax_queued_bytes 0\n"


class NotHereError(RuntimeError):
    """Something that the campaign needs is not on this machine."""


class Plant:
    """A context manager; everything is stopped at its end.

    The broker keeps its queues on disk and in any length, so that nothing is thrown away by the broker's
    own limit.
    """

    def __init__(
        self,
        folder: Path,
        database: Kind = "sqlite",
        *,
        watched: bool = False,
        persistence: bool = True,
        data: Path | None = None,
        **sections: dict[str, Any],
    ) -> None:
        """``watched``: a witness reads along between agent and broker. ``data``: where database and media
        are, if not in ``folder``. ``sections``: of the agent's configuration."""
        if MOSQUITTO is None:
            raise NotHereError("mosquitto is not installed")
        self._folder = folder
        self._data = data or folder
        self._kind: Kind = database
        self._sections = sections
        self._stack = ExitStack()
        self._watched = watched
        (folder / "broker").mkdir(parents=True)
        self.broker = Mosquitto(folder / "broker", persistence=persistence, extra=_UNLIMITED)
        self.witness: Witness | None = None
        self.database: Faulty
        self.agent: Agent
        self.customer: Customer
        self.watcher: Watcher

    @property
    def media(self) -> Path:
        return self._data / "media"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.broker.start()
            stack.callback(self.broker.stop)
            self.database = open_database(self._kind, self._data)
            stack.callback(self.database.close)
            url = self.broker.url
            if self._watched:
                self.witness = stack.enter_context(Witness(self.broker.port))
                url = self.witness.url
            sections = {"inspection": {"method": "null"}, "media": {"path": str(self.media)}}
            for name, section in self._sections.items():
                sections[name] = {**sections.get(name, {}), **section}
            self.agent = Agent(write_config(self._folder, url, self.database.url, **sections))
            stack.callback(self.agent.kill)
            self.customer = stack.enter_context(Customer(self.broker.url))
            self.watcher = stack.enter_context(Watcher(self.broker.url))
            # The session has to be there before the first verdict; from then on the broker keeps it.
            ready = self.customer.wait_for(lambda: self.customer.connections > 0, 10)
            if not ready or not self.watcher.wait_for(lambda: self.watcher.connections > 0, 10):
                raise RuntimeError("the broker did not accept the customer within 10 s")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_agent(self) -> None:
        """Start the agent and wait until it publishes ``online``."""
        before = self.watcher.births
        self.agent.start()
        deadline = time.monotonic() + START_S
        while not self.watcher.wait_for(lambda: self.watcher.births > before, 0.5):
            if not self.agent.alive or time.monotonic() > deadline:
                raise RuntimeError(f"the agent does not come online:\n{self.agent.log_tail}")

    def wait_delivered(self, count: int, *, stall_s: float = STALL_S) -> bool:
        """Wait until the customer knows the verdicts on ``count`` frames; False once nothing new comes
        for ``stall_s``, neither a verdict nor a row: after a fault the agent works off what waited first."""
        known: tuple[int, int] | None = None
        while len(self.customer.verdicts) < count:
            now = (len(self.customer.verdicts), self.rows())
            if now == known:
                return False
            known = now
            self.customer.wait_for(
                lambda: len(self.customer.verdicts) >= count, stall_s if self.agent.alive else 1.0
            )
        return True

    def rows(self) -> int:
        """Rows of frames, so far."""
        return count_rows(self.database.url)
