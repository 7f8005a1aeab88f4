"""``Session``: keeps one broker connected, with version fallback, jittered backoff and one thread."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion

from adapters.mqtt.connection import MQTT5, MQTT311, NAMES, Connection, Ended
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.publish_queue import PublishPacket, Ticket
from agent.domain.errors import SightlineError, TransportError
from agent.telemetry import Counters
from agent.threads import Backoff

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_SHORT_S = 5.0
_SHORT_LIVES = 3


class SessionListener(Protocol):
    """The owner of a session. Its methods are called in the session's thread."""

    def will(self) -> PublishPacket:
        """What the broker publishes if the connection is lost; asked before each attempt."""
        ...

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None: ...

    def on_ready(self, connection: Connection) -> None:
        """The broker accepted a new connection and granted the subscriptions."""


class Session:
    """Keeps one broker connected from a thread of its own, whatever happens to the connection."""

    def __init__(
        self,
        options: BrokerOptions,
        counters: Counters,
        *,
        subscriptions: Sequence[str] = (),
        optional: Sequence[str] = (),
        listener: SessionListener | None = None,
        name: str = "mqtt",
    ) -> None:
        self.options = options
        self.last_error: str | None = None
        """Why there is no connection, in one sentence; None while there is one."""
        self._counters = counters
        self._subscriptions = subscriptions
        self._optional = optional
        self._listener = listener
        self._name = name
        self._connection: Connection | None = None
        self._versions = (
            [MQTT5, MQTT311] if options.version == "auto" else [MQTT5 if options.version == "5" else MQTT311]
        )
        self._accepted_once = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect in the background and keep connected. Raises ConfigurationError for unusable TLS files."""
        if self._thread is not None:
            raise TransportError("the connection to the broker was started already")
        self._attempt(self._versions[0])  # built and dropped: unusable settings fail here, not in a thread
        self._thread = threading.Thread(target=self._keep, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, *, cleanly: bool = True) -> None:
        """Disconnect and end the thread; unless ``cleanly``, the broker publishes the will."""
        self._stop.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.close(cleanly=cleanly)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self.options.connect_timeout_s + 5)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and granted the subscriptions."""
        connection = self._connection
        return connection is not None and connection.ready

    @property
    def version(self) -> str | None:
        """``5`` or ``3.1.1`` while connected."""
        connection = self._connection
        return NAMES[connection.protocol] if connection is not None and connection.ready else None

    @property
    def maximum_packet_size(self) -> int | None:
        """The broker's limit in bytes, if there is a connection and it named one."""
        connection = self._connection
        return None if connection is None else connection.maximum_packet_size

    @property
    def unacknowledged(self) -> int:
        """Deliveries received on this connection and not yet acknowledged to the broker."""
        connection = self._connection
        return 0 if connection is None else len(connection.unacknowledged)

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether there is a connection within ``timeout_s`` seconds; else ``last_error`` has a reason."""
        deadline = time.monotonic() + timeout_s
        while not self.connected and time.monotonic() < deadline and not self._stop.is_set():
            self._stop.wait(_POLL_S)
        return self.connected

    def drain(self) -> None:
        """Before the end: keep reading answers, however many deliveries are unacknowledged."""
        connection = self._connection
        if connection is not None:
            connection.drain()

    def publish(self, message: PublishPacket) -> Ticket:
        """Hand over with QoS 1. Raises TransportError."""
        connection = self._connection
        if connection is None or not connection.ready:
            raise TransportError("there is no connection to the broker; the message stays in the outbox")
        return connection.publish(message)

    # ---------------------------------------------------------------------------------- the thread

    def _keep(self) -> None:
        options = self.options
        backoff = Backoff(options.backoff_min_s, options.backoff_max_s, random.Random())
        short = 0
        while not self._stop.is_set():
            start = time.monotonic()
            ended = self._connect_once()
            if self._stop.is_set():
                break
            short = short + 1 if ended.accepted and time.monotonic() - start < _SHORT_S else 0
            if ended.accepted and not short:
                backoff.succeeded()
            if short >= _SHORT_LIVES:
                # Many brokers disconnect the older of two clients with one id and give no reason.
                ended = replace(
                    ended,
                    reason=f"{ended.reason}; it happens again and again: if another agent "
                    f"uses the client id {self.options.client_id!r}, give each its own",
                )
                self.last_error = ended.reason
            delay = backoff.failed()
            self._counters.add("mqtt_connections_lost" if ended.accepted else "mqtt_connection_failures")
            logger.warning(
                "no connection to %s: %s; next attempt in %.1f s", self.options.address, ended.reason, delay
            )
            self._stop.wait(delay)

    def _connect_once(self) -> Ended:
        """One connection, in the newest version that the broker takes."""
        ended = Ended("no MQTT version is left to try")
        for version in tuple(self._versions):
            ended = self._run(version)
            self.last_error = ended.reason
            refused = ended.unsupported_version or (ended.unanswered and not self._accepted_once)
            if ended.accepted or not refused or version == self._versions[-1]:
                break
            logger.info(
                "%s does not take MQTT %s (%s); trying MQTT 3.1.1",
                self.options.address,
                NAMES[version],
                ended.reason,
            )
        return ended

    def _run(self, version: MQTTProtocolVersion) -> Ended:
        try:
            connection = self._attempt(version)
            with self._lock:
                self._connection = connection
            if self._stop.is_set():
                return Ended("stopped")
            return connection.run()
        except SightlineError as error:
            return Ended(str(error))
        except Exception as error:
            logger.exception("the MQTT connection failed in an unforeseen way")
            self._counters.add("mqtt_unforeseen_errors")
            return Ended(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._connection = None

    def _attempt(self, version: MQTTProtocolVersion) -> Connection:
        return Connection(
            self.options,
            version,
            self,
            subscriptions=self._subscriptions,
            optional=self._optional,
            will=None if self._listener is None else self._listener.will(),
        )

    # -------------------------------------------------------- as the listener of its connections

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        """Pass a delivery on."""
        if self._listener is not None:
            self._listener.on_message(connection, message)

    def on_stale(self) -> None:
        """Count an acknowledgement that came too late."""
        self._counters.add("mqtt_stale_acknowledgements")

    def on_mended(self, reason: str) -> None:
        """Count and log a message whose properties were decoded tolerantly."""
        self._counters.add("mqtt_lenient_deliveries")
        logger.warning("a message has properties that are read as far as they go: %s", reason)

    def on_ready(self, connection: Connection) -> None:
        """Keep the version and pass the connection on."""
        if self._accepted_once and not connection.session_present and self.options.session_expiry_s:
            self._counters.add("mqtt_sessions_lost")
            logger.warning(
                "the broker has forgotten the session; what was sent meanwhile is lost unless sent again"
            )
        self._accepted_once = True
        # Kept: a restart of the broker does not raise the question of the version again.
        self._versions = [connection.protocol]
        self.last_error = None
        self._counters.add("mqtt_connections")
        logger.info(
            "connected to %s with MQTT %s as %s",
            self.options.address,
            NAMES[connection.protocol],
            self.options.client_id,
        )
        if self._listener is not None:
            self._listener.on_ready(connection)
