"""One MQTT client that is driven by a thread of its own and comes back after every loss."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

RETRY_S = 0.05
TICK_S = 0.02
SESSION_S = 86_400


class Client:
    """A paho client for each connection: nothing that was under way reaches the next one by itself.

    Subclasses fill in the ``_connected``, ``_received``, ``_acknowledged``, ``_turn`` and ``_lost`` steps;
    all run in the client's own thread.
    """

    def __init__(self, url: str, client_id: str, *, persistent: bool = False) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 1883)
        self._client_id = client_id
        self._persistent = persistent
        self._stopping = threading.Event()
        self._present = threading.Event()
        self._present.set()
        self._thread = threading.Thread(target=self._keep, name=client_id, daemon=True)
        self.changed = threading.Condition()
        self.connections = 0
        self.sessions_lost = 0
        """Connects at which the broker no longer knew a session that it had."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._present.set()
        self._thread.join(10)

    def leave(self) -> None:
        """Disconnect and stay away until :meth:`come_back`."""
        self._present.clear()

    def come_back(self) -> None:
        self._present.set()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Whether ``condition`` holds within ``timeout_s``; looked at whenever something changed."""
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    # ------------------------------------------------------------------------------- the thread

    def _keep(self) -> None:
        while not self._stopping.is_set():
            if not self._present.wait(0.1):
                continue
            with contextlib.suppress(OSError):  # nobody listens: that is what the campaigns are about
                self._serve()
            self._stopping.wait(RETRY_S)

    def _serve(self) -> None:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.max_inflight_messages_set(0)
        accepted = threading.Event()

        def on_connect(_c: mqtt.Client, _d: Any, flags: Any, reason: Any, _p: Any) -> None:
            if reason.is_failure:
                return
            if self._persistent and self.connections and not flags.session_present:
                self.sessions_lost += 1
            self.connections += 1
            accepted.set()
            self._connected(client)

        def on_message(_c: mqtt.Client, _d: Any, message: mqtt.MQTTMessage) -> None:
            with self.changed:
                self._received(message)
                self.changed.notify_all()
            # Acknowledged once it stands in the book, never before.
            client.ack(message.mid, message.qos)

        def on_publish(_c: mqtt.Client, _d: Any, mid: int, reason: Any, _p: Any) -> None:
            with self.changed:
                self._acknowledged(mid, not reason.is_failure)
                self.changed.notify_all()

        client.on_connect, client.on_message, client.on_publish = on_connect, on_message, on_publish
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_S if self._persistent else 0
        try:
            client.connect(
                *self._address, keepalive=20, clean_start=not self._persistent, properties=properties
            )
            code = MQTTErrorCode.MQTT_ERR_SUCCESS
            while code == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._stopping.is_set():
                if not self._present.is_set():
                    break
                busy = accepted.is_set() and self._turn(client)
                code = client.loop(0.0 if busy else TICK_S)
            client.disconnect()
        finally:
            sock = client.socket()
            if sock is not None:
                sock.close()
            with self.changed:
                self._lost()
                self.changed.notify_all()

    def _connected(self, client: mqtt.Client) -> None:
        """Accepted by the broker."""

    def _received(self, message: mqtt.MQTTMessage) -> None:
        """A message; ``changed`` is held."""

    def _acknowledged(self, mid: int, taken: bool) -> None:
        """The broker answered a publish; ``changed`` is held."""

    def _turn(self, client: mqtt.Client) -> bool:
        """Once a round: publish what is due. Whether there is more to do at once."""
        return False

    def _lost(self) -> None:
        """The connection is gone; ``changed`` is held."""
