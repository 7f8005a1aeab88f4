"""RefusedTopics: messages whose topic names no camera of the agent, reported once for each topic."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from agent.domain.events import Event
from agent.domain.names import visible
from agent.event_log import EventLog

MOST_TOPICS = 256
"""Topics with an event of their own. Anybody may invent topics; further ones are summed up."""
_SHOWN = 300
"""Characters of a topic in its event."""


class RefusedTopics:
    """One event and one warning for each topic, behind :class:`agent.ports.UnusableTopics`."""

    def __init__(self, events: EventLog, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._events = events
        self._clock = clock
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def report(self, topic: str, why: str) -> None:
        """Report a topic that is new; called in the network thread for each message."""
        with self._lock:
            if topic in self._known:
                return
            full = len(self._known) >= MOST_TOPICS
            if not full:
                self._known.add(topic)
        if full:
            self._events.report_unrecorded(None, "their topics cannot be used", frame=False)
            return
        shown = visible(topic[:_SHOWN])
        message = f'messages on the topic "{shown}" are not judged: {why}'
        self._events.report(
            Event("bad-topic", message, self._clock(), details={"topic": shown}, severity="warning")
        )
