"""``RunningAgents``: waits until those that use a history judge by the version that a command activated."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapters.cli.screen import plain, stderr
from agent.domain.events import AGENT_STARTED as STARTED
from agent.domain.events import AGENT_STOPPED as STOPPED
from agent.domain.events import RECIPE_IN_FORCE as IN_FORCE
from agent.domain.events import RECIPE_REFUSED as REFUSED

if TYPE_CHECKING:
    from agent.app.store import Store

ANSWER_S = 10.0
"""How long a command waits for answers."""
_LOOK_S = 0.1

_LIFE = f"SELECT agent_id, kind FROM event WHERE kind IN ('{STARTED}', '{STOPPED}') ORDER BY id"  # noqa: S608 - our own words
_LAST = "SELECT coalesce(max(id), 0) AS id FROM event"
_ANSWERS = (
    "SELECT agent_id, kind, message, details FROM event "  # noqa: S608 - our own words
    f"WHERE id > :after AND sku = :sku AND kind IN ('{IN_FORCE}', '{REFUSED}') ORDER BY id"
)


class RunningAgents:
    """The agents that run on a history, as its events show. Build it before the version is activated.

    One that was killed counts as running until it is started again: its answer is waited for in vain.
    """

    def __init__(self, store: Store) -> None:
        """Raises StorageError."""
        self._store = store
        self._before = store.book.active_versions()
        self._after = int(store.query(_LAST)[0]["id"])
        last = {str(row["agent_id"]): row["kind"] for row in store.query(_LIFE)}
        self._running = {agent for agent, kind in last.items() if kind == STARTED}

    def wait(self, sku: str, *, within_s: float = ANSWER_S) -> None:
        """Wait until all of them judge by the active version, and print a sentence on stderr.

        Returns at once if the version was active before. Raises StorageError.
        """
        if not self._running or self._store.book.active_version(sku) == self._before.get(sku):
            return
        deadline = time.monotonic() + within_s
        with stderr().status("[dim]waiting until running agents have it in force ...[/]"):
            while not (answers := self._answers(sku)).keys() >= self._running:
                if time.monotonic() >= deadline:
                    break
                time.sleep(_LOOK_S)
        for kind, message in answers.values():
            if kind == REFUSED:
                stderr().print(f"[yellow]note:[/] {plain(message)}", soft_wrap=True)
        judging = [agent for agent, (kind, _) in answers.items() if kind == IN_FORCE]
        silent = sorted(self._running - answers.keys())
        if judging:
            stderr().print(f"in force on {_names(judging)}: the next frame is judged by it", soft_wrap=True)
        if silent:
            stderr().print(
                f"[yellow]note:[/] {_names(silent)} did not answer within {within_s:.0f} s; an agent that is "
                "still preparing it judges by it as soon as that is done",
                soft_wrap=True,
            )

    def _answers(self, sku: str) -> dict[str, tuple[str, str]]:
        """The last answer of each agent about the version that is active now: its kind and its sentence."""
        version = self._store.book.active_version(sku)
        rows = self._store.query(_ANSWERS, {"after": self._after, "sku": sku})
        return {
            str(row["agent_id"]): (str(row["kind"]), str(row["message"]))
            for row in rows
            if _details(row).get("version") == version
        }


def _details(row: Mapping[str, Any]) -> Mapping[str, Any]:
    details = row["details"]
    found: Mapping[str, Any] = json.loads(details) if isinstance(details, str) else details
    return found


def _names(agents: Sequence[str]) -> str:
    return ", ".join(plain(agent) for agent in agents)
