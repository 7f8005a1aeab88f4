"""``StatusReader``: a short connection that reads which agents of the site are online."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt

from adapters.images.bounded_json import load_object
from adapters.mqtt.connection import Connection
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.session import Session
from adapters.mqtt.topics import Topics, filter_covers
from agent.domain.errors import MessageError, TransportError
from agent.telemetry import Counters

_POLL_S = 0.05
_FALLBACK_S = 1.0
_QUIET_S = 0.4
"""Brokers send what is retained at once after a subscription."""
_MOST_S = 3.0
_MOST_AGENTS = 1000


@dataclass(frozen=True, slots=True)
class OnlineAgent:
    """An agent by its retained status ``online``."""

    id: str
    host: str | None
    history: str | None
    """Name of its history; None if its version names none."""
    frames: str | None
    """Filter of the frames that it takes; None if its version names none."""

    @property
    def name(self) -> str:
        """``'cell-8' on host-8``."""
        return f"{self.id!r}" + (f" on {self.host}" if self.host else "")

    def is_rival(self, topics: Topics, history: str | None) -> bool:
        """Whether it takes frames of ``topics`` and does not share ``history`` (None: none is there yet)."""
        if self.history is None or self.frames is None or self.history == history:
            return False
        return filter_covers(self.frames, topics.frames)


class StatusReader(Session):
    """Reads the retained status of the agents of a site, with the rights of an agent."""

    def __init__(self, options: BrokerOptions, topics: Topics) -> None:
        super().__init__(options, Counters(), subscriptions=(topics.every_status,), name="status")
        self._received: dict[str, bytes] = {}

    def read(self, connect_s: float) -> list[OnlineAgent]:
        """The agents that are online now, by id. Takes about half a second.

        Raises TransportError: no connection within ``connect_s``, or the user may not read there.
        """
        self.start()
        try:
            if not self._connects(connect_s):
                raise TransportError(self.last_error or f"no answer from {self.options.address}")
            self._listen()
        finally:
            self.stop()
        found = [_online(payload) for payload in self._received.values()]
        return sorted((one for one in found if one is not None), key=lambda one: one.id)

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        """Keep a status. Called in the session's thread."""
        if message.qos:
            connection.unacknowledged.receive(message.mid)()
        if len(self._received) < _MOST_AGENTS:
            self._received[message.topic] = bytes(message.payload)

    def _connects(self, timeout_s: float) -> bool:
        """Whether there is a connection in time; a refusal is believed once the older MQTT was tried too."""
        deadline = time.monotonic() + timeout_s
        while not self.wait_connected(_POLL_S):
            if self.last_error is not None:
                deadline = min(deadline, time.monotonic() + _FALLBACK_S)
            if time.monotonic() > deadline:
                return False
        return True

    def _listen(self) -> None:
        """Wait until no further status comes."""
        started = quiet_since = time.monotonic()
        seen = 0
        while time.monotonic() - quiet_since < _QUIET_S and time.monotonic() - started < _MOST_S:
            time.sleep(_POLL_S)
            if len(self._received) != seen:
                seen, quiet_since = len(self._received), time.monotonic()


def _online(payload: bytes) -> OnlineAgent | None:
    """The agent of a status message; None if it is not online, or if this is no status."""
    try:
        content = load_object(payload)
    except MessageError:
        return None
    identifier = _text(content.get("agent"))
    if content.get("status") != "online" or identifier is None:
        return None
    return OnlineAgent(
        identifier, _text(content.get("host")), _text(content.get("history")), _text(content.get("frames"))
    )


def _text(value: Any) -> str | None:
    """A short text from the network, fit for a log; None if it is anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= 512 and value.isprintable() else None
