"""ActiveVersions: notices versions that others activated, and reports when this agent judges by them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from agent.domain.errors import SightlineError, StorageError
from agent.domain.events import AGENT_STARTED, AGENT_STOPPED, RECIPE_IN_FORCE, RECIPE_REFUSED, Event
from agent.event_log import EventLog
from agent.ports import RecipeBook
from agent.recipes.cache import RecipeCache

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5


class ActiveVersions:
    """Asks the database for all active versions every moment. Commands, other agents and SQL activate them.

    A version that is not prepared yet is prepared at once, not with its next frame. Versions that this agent
    wrote itself are in force as soon as they are stored, and need no event.
    """

    def __init__(self, book: RecipeBook, recipes: RecipeCache, events: EventLog, agent: str) -> None:
        """``agent``: the id of this one, for the events."""
        self._book = book
        self._recipes = recipes
        self._events = events
        self._agent = agent
        self._known: dict[str, int] = {}
        """Versions in force; those of the start come with their first frames, and were reported before."""
        self._under_way: set[str] = set()
        self._refused: dict[str, int] = {}

    def start(self) -> None:
        """What is active now needs no answer; from now on whatever changes gets one. Raises StorageError."""
        self._known = dict(self._book.active_versions())
        self._report(AGENT_STARTED, f"the agent {self._agent} has started", None, None)

    def stop(self) -> None:
        """Nothing more is answered."""
        self._report(AGENT_STOPPED, f"the agent {self._agent} stops", None, None)

    def look(self) -> None:
        """Take over what is new; to be called every :data:`LOOK_EVERY_S` seconds."""
        try:
            active = self._book.active_versions()
        except StorageError as error:
            logger.debug("active versions are not known for now: %s", error)
            return
        for sku, version in active.items():
            if self._known.get(sku) != version:
                self._take_over(sku, version)

    def _take_over(self, sku: str, version: int) -> None:
        self._known.pop(sku, None)  # also if the version before it comes back meanwhile, that is news
        try:
            in_force = self._recipes.is_in_force(sku, version)
        except StorageError as error:
            logger.debug("version %d of %r waits for storage: %s", version, sku, error)
            return
        except (SightlineError, RuntimeError, ValueError) as error:  # as the method gives it
            if self._refused.get(sku) != version:
                self._refused[sku] = version
                why = f"version {version} of {sku!r} cannot be used by the agent {self._agent}: {error}"
                self._report(RECIPE_REFUSED, why, sku, version, severity="warning")
            return
        if not in_force:
            self._under_way.add(sku)
            return
        answered = sku in self._under_way or not self._recipes.has_written(sku, version)
        self._under_way.discard(sku)
        self._refused.pop(sku, None)
        self._known[sku] = version
        if answered:
            self._report(RECIPE_IN_FORCE, f"version {version} of {sku!r} is in force", sku, version)

    def _report(
        self, kind: str, message: str, sku: str | None, version: int | None, *, severity: str = "info"
    ) -> None:
        details = {} if version is None else {"version": version}
        self._events.report(
            Event(kind, message, datetime.now(UTC), sku=sku, details=details, severity=severity)
        )
