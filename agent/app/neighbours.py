"""``Neighbours``: after the start, other agents on the broker that would judge the same frames twice."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from adapters.mqtt.presence import OnlineAgent, StatusReader
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from agent.app.broker import client_options, reachable_url, topics_of
from agent.app.store import Store
from agent.domain.errors import StorageError, TransportError
from agent.domain.events import Event
from agent.event_log import EventLog
from config import Settings

logger = logging.getLogger(__name__)

CONNECT_S = 8.0


def online_agents(settings: Settings, role: str) -> list[OnlineAgent]:
    """The agents of the site that are online. Raises TransportError, ConfigurationError."""
    options = client_options(settings, reachable_url(settings), role)
    return StatusReader(options, topics_of(settings)).read(CONNECT_S)


def rivalry(rival: OnlineAgent, topics: Topics) -> str:
    """What is wrong with an agent that takes the same frames, and the remedy."""
    return (
        f"the agent {rival.name} also takes frames of {topics.frames} and keeps another history: each frame "
        "is judged and reported twice; stop one of them, or give them different topics (section topics), or "
        "one database (database.url)"
    )


class Neighbours:
    """Looks once, as soon as the agent's own status is on the broker.

    Of two agents that start together at least the later one then sees the other.
    """

    def __init__(self, settings: Settings, store: Store, transport: MqttTransport, events: EventLog) -> None:
        self._settings = settings
        self._store = store
        self._transport = transport
        self._events = events
        self.done = threading.Event()
        """Set once the look is over, whatever came of it."""

    def look(self) -> None:
        """Report other agents on the same frames, and messages that nobody sends. Raises nothing."""
        if self.done.is_set() or not self._transport.announced:
            return
        try:
            self._look()
        finally:
            self.done.set()

    def _look(self) -> None:
        try:
            online = online_agents(self._settings, "neighbours")
            history = self._store.identity
            waiting = self._store.outbox.of_others()
        except (TransportError, StorageError) as error:
            logger.warning("other agents on this broker cannot be looked for: %s", error)
            return
        topics = topics_of(self._settings)
        if not any(one.id == topics.agent for one in online):
            logger.warning(
                "the broker shows this agent no status, not even its own, so others cannot be seen; give "
                "its user the right to read %s (deploy/mosquitto/acl)",
                topics.every_status,
            )
        for rival in online:
            if history is not None and rival.is_rival(topics, history):
                self._report("other-agent", rivalry(rival, topics))
        for agent in sorted(set(waiting) - {one.id for one in online}):
            self._report(
                "outbox-of-other",
                f"{waiting[agent]} messages in this database wait for the agent {agent!r}, which is not "
                f"online: start it, or if this agent was called so before, set agent.id: {agent}; otherwise "
                "delete its rows from the table outbox",
            )

    def _report(self, kind: str, message: str) -> None:
        self._events.report(Event(kind, message, datetime.now(UTC), severity="warning"))
