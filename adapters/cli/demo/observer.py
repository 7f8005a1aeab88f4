"""``Observer``: a subscriber that receives verdicts, masks and alerts as any other client does."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from adapters.cli.demo.live import Board
from adapters.cli.demo.plan import Key
from agent.domain.errors import TransportError
from config import Settings

READY_S = 15.0


@dataclass(frozen=True, slots=True)
class Received:
    """One verdict message as it arrived."""

    key: Key
    body: dict[str, Any]
    latency_ms: float
    """From the agent's receipt of the frame to the arrival of this message."""


class Observer:
    """Subscribes with QoS 1 and keeps every verdict; a context manager."""

    def __init__(self, url: str, settings: Settings, board: Board) -> None:
        self._board = board
        self._received: list[Received] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._error: str | None = None
        self._topics = {
            _wildcards(template, settings.agent.site): kind
            for kind, template in (
                ("verdict", settings.topics.verdict),
                ("mask", settings.topics.mask),
                ("alert", settings.topics.alert),
            )
        }
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sightline-demo-observer")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        for topic, kind in self._topics.items():
            self._client.message_callback_add(topic, getattr(self, f"_on_{kind}"))
        self._log_in(url, settings)
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or settings.broker.port)

    def __enter__(self) -> Self:
        try:
            self._client.connect(*self._address)
        except OSError as error:
            raise TransportError(f"the observer cannot reach the broker: {error}") from error
        self._client.loop_start()
        if not self._subscribed.wait(READY_S) or self._error:
            self._client.loop_stop()
            raise TransportError(f"the observer could not subscribe: {self._error or 'no answer in time'}")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def received(self) -> list[Received]:
        """All verdict messages so far."""
        with self._changed:
            return list(self._received)

    def wait_for(self, keys: set[Key], quiet_s: float) -> bool:
        """Wait until each of ``keys`` has its verdict; False once nothing new came for ``quiet_s``."""
        with self._changed:
            while True:
                missing = keys - {one.key for one in self._received}
                if not missing:
                    return True
                count = len(self._received)
                if not self._changed.wait_for(lambda count=count: len(self._received) > count, quiet_s):  # type: ignore[misc]
                    return False

    # ------------------------------------------------------------------------ on the network's thread

    def _log_in(self, url: str, settings: Settings) -> None:
        user = settings.broker.username or unquote(urlsplit(url).username or "")
        if user:
            self._client.username_pw_set(user, settings.broker.read_password())
        if settings.broker.secure:
            tls = settings.broker.tls
            self._client.tls_set(
                str(tls.ca) if tls.ca else None,
                str(tls.cert) if tls.cert else None,
                str(tls.key) if tls.key else None,
            )

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, reason: Any, _more: object
    ) -> None:
        if reason.is_failure:
            self._error = f"the broker refused: {reason}"
            self._subscribed.set()
            return
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_verdict(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        arrived = datetime.now(UTC)
        body = json.loads(message.payload)
        camera = f"{body['line']}/{body['camera']}"
        latency = (arrived - datetime.fromisoformat(body["received_at"])).total_seconds() * 1000.0
        labels = ", ".join(dict.fromkeys(defect["label"] for defect in body["defects"]))
        with self._changed:
            self._received.append(Received((camera, body["frame_id"]), body, latency))
            self._changed.notify_all()
        self._board.judged(camera, body["verdict"], body["score"], body["threshold"], labels)

    def _on_mask(self, *_: object) -> None:
        self._board.saw_mask()

    def _on_alert(self, *_: object) -> None:
        self._board.saw_alert()


def _wildcards(template: str, site: str) -> str:
    """A topic template as a subscription of all cameras of a site."""
    return template.format(site=site, line="+", camera="+")
