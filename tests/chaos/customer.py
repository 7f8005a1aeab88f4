"""A subscriber to verdicts, whose session outlives its connection, and a watcher of the status."""

from __future__ import annotations

import json
from collections import Counter

import paho.mqtt.client as mqtt

from tests.chaos.client import Client
from tests.chaos.messages import BASE, SITE


class Customer(Client):
    """Keeps every verdict; the broker keeps them for it while it is away."""

    def __init__(self, url: str, *, client_id: str = "chaos-customer") -> None:
        super().__init__(url, client_id, persistent=True)
        self.verdicts: dict[str, Counter[str]] = {}
        """Frame id -> inspection ids, with how often each came."""
        self.messages = 0
        self.unreadable = 0

    @property
    def repeated(self) -> int:
        """Verdicts that came more than once, as "at least once" allows."""
        return self.messages - self.unreadable - len(self.verdicts)

    def _connected(self, client: mqtt.Client) -> None:
        client.subscribe(f"{BASE}/verdict", qos=1)

    def _received(self, message: mqtt.MQTTMessage) -> None:
        self.messages += 1
        try:
            body = json.loads(message.payload)
            self.verdicts.setdefault(body["frame_id"], Counter())[body["inspection_id"]] += 1
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1


class Watcher(Client):
    """Sees the agent come and go, by its status topic."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "chaos-watcher")
        self.births = 0
        """How often the agent published ``online`` while this watched."""

    def _connected(self, client: mqtt.Client) -> None:
        client.subscribe(f"{SITE}/sightline/+/status", qos=1)

    def _received(self, message: mqtt.MQTTMessage) -> None:
        if not message.retain and b'"online"' in message.payload:
            self.births += 1
