"""A customer's client: plain paho, subscribed to what the agent publishes."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


class Subscriber:
    """Collects the messages of some topics; wait on what came instead of sleeping."""

    def __init__(
        self,
        url: str,
        *topics: str,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._topics = topics
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self.messages: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 1883)

    def __enter__(self) -> Self:
        self._client.connect(*self._address)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the subscriber was not accepted within 10 s"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait until the broker has it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def wait_for(self, condition: Callable[[Self], bool], timeout_s: float, what: str) -> None:
        """Wait until ``condition`` holds of what came. Fails with ``what`` after ``timeout_s``."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout_s):
                came = Counter(topic.rsplit("/", 1)[-1] for topic, _payload, _retained in self.messages)
                raise AssertionError(f"{what} did not come within {timeout_s} s; came: {dict(came)}")

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The JSON messages on topics that end in ``kind``, in order of arrival."""
        return [
            json.loads(payload) for topic, payload, _ in list(self.messages) if topic.endswith(f"/{kind}")
        ]

    def frame_ids(self, kind: str = "verdict") -> set[str]:
        """Frames of which a message came."""
        return {message["frame_id"] for message in self.of(kind)}

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed.set()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload), bool(message.retain)))
            self._changed.notify_all()
