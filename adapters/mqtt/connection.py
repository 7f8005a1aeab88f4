"""``Connection``: one network connection to a broker, from CONNECT to its end."""

from __future__ import annotations

import contextlib
import logging
import select
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from adapters.mqtt.ack_window import AckWindow
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.publish_queue import FAILURE, PublishPacket, PublishQueue, Ticket, refusal
from adapters.mqtt.tls import context_of, trouble_of, unexplained, why
from adapters.mqtt.tolerant_client import TolerantClient

logger = logging.getLogger(__name__)

MQTT5 = MQTTProtocolVersion.MQTTv5
MQTT311 = MQTTProtocolVersion.MQTTv311
NAMES = {MQTT5: "5", MQTT311: "3.1.1"}

_TICK_S = 1.0
_SUBACK_S = 30.0
_UNSUPPORTED = "Unsupported protocol version"
_UNKNOWN_USER = frozenset({"Not authorized", "Bad user name or password"})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a connection ended."""

    reason: str
    accepted: bool = False
    """Whether the broker had accepted it."""
    unsupported_version: bool = False
    """Refused explicitly because of the protocol version."""
    unanswered: bool = False
    """No answer to CONNECT before the end, as from brokers that do not know the version."""


class ConnectionListener(Protocol):
    """The owner of a connection. Its methods are called in the connection's own thread."""

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None: ...

    def on_ready(self, connection: Connection) -> None:
        """The broker accepted the connection and granted the subscriptions."""

    def on_stale(self) -> None:
        """An acknowledgement came after its connection had gone."""

    def on_mended(self, reason: str) -> None:
        """A message was decoded tolerantly, because the client library refused its properties."""


def _hung_up(sock: mqtt.SocketLike) -> bool:
    """Whether the peer is gone, even if data that it sent is still unread (Linux)."""
    poll = select.poll()
    poll.register(sock.fileno(), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))


class Connection:
    """A paho client for one connection only, driven by the thread that calls :meth:`run`.

    Each attempt has a new object, so no acknowledgement or publish of an old connection can reach a new
    one. What was not acknowledged is sent again: deliveries by the broker, messages by the outbox.
    """

    def __init__(
        self,
        options: BrokerOptions,
        protocol: MQTTProtocolVersion,
        listener: ConnectionListener,
        *,
        subscriptions: Sequence[str] = (),
        optional: Sequence[str] = (),
        will: PublishPacket | None = None,
    ) -> None:
        """``optional``: the subscriptions that a broker may refuse."""
        self.protocol = protocol
        self.session_present = False
        self._options = options
        self._listener = listener
        self._subscriptions = tuple(subscriptions)
        self._optional = frozenset(optional)
        self._client = self._build(will)
        self._publish_queue = PublishQueue(
            self._client, options.max_outgoing, with_properties=protocol == MQTT5
        )
        self.unacknowledged = AckWindow(self._send_ack, listener.on_stale)
        self._sock: mqtt.SocketLike | None = None
        self._selector = selectors.DefaultSelector()
        self._watched = 0
        self._awake = False
        """Whether a wake-up is in the pipe already."""
        self._wake_read: socket.socket | None = None
        self._wake_write: socket.socket | None = None
        self._accepted = False
        self._ready = False
        self._draining = False
        self._closing = threading.Event()
        self._cleanly = True
        self._ended: Ended | None = None
        self._subscribing: int | None = None
        self._answer_due: float | None = None

    def _build(self, will: PublishPacket | None) -> mqtt.Client:
        options = self._options
        clean = options.session_expiry_s == 0
        client = TolerantClient(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if self.protocol == MQTT5 else clean,
            protocol=self.protocol,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = options.connect_timeout_s
        client.max_inflight_messages_set(0)  # PublishQueue bounds: paho takes no limit from CONNACK
        client.username_pw_set(*options.credentials())
        if options.secure:
            client.tls_set_context(context_of(options.tls))
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_mended = self._listener.on_mended
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        # With a write callback paho leaves all writing to our loop: its own is not thread-safe otherwise.
        client.on_socket_register_write = self._on_register_write
        return client

    # ------------------------------------------------------------------------------------ the loop

    @property
    def ready(self) -> bool:
        """Accepted, subscribed, and not yet ended."""
        return self._ready and self._ended is None

    @property
    def maximum_packet_size(self) -> int | None:
        """The broker's limit in bytes, if it named one (MQTT 5)."""
        return self._publish_queue.maximum_packet_size

    def run(self) -> Ended:
        """Connect, and serve the connection until it ends. Blocks."""
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        try:
            self._connect()
            while self._ended is None:
                self._step()
        except OSError as error:
            self._end(why(error, self._options))
        finally:
            ended = self._ended or Ended("the connection's loop was stopped", accepted=self._accepted)
            self._ended = ended
            self.unacknowledged.close()
            self._publish_queue.close(ended.reason)
            self._selector.close()
            sock = self._client.socket()
            if sock is not None:
                sock.close()
            self._wake_read.close()
            self._wake_write.close()
        return ended

    def close(self, *, cleanly: bool = True) -> None:
        """Disconnect; if ``cleanly``, the broker forgets the will. Callable from any thread."""
        self._cleanly = cleanly
        self._closing.set()
        self._wake()

    def _connect(self) -> None:
        options = self._options
        properties = None
        if self.protocol == MQTT5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = options.session_expiry_s
            properties.ReceiveMaximum = options.receive_maximum
        self._client.connect(
            options.host,
            options.port,
            keepalive=options.keepalive_s,
            clean_start=options.session_expiry_s == 0
            if self.protocol == MQTT5
            else mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )
        self._answer_due = time.monotonic() + options.connect_timeout_s

    def _step(self) -> None:
        if self._closing.is_set():
            self._closing.clear()
            if not self._cleanly:
                self._end("the connection was left")
                return
            self._client.disconnect()
        sock = self._sock = self._client.socket()
        if sock is None:
            self._end("the connection was closed")
            return
        if self._accepted and self._paused:
            self._answer_due = time.monotonic() + _SUBACK_S  # the answer may wait behind unread data
        if not self._ready and self._answer_due is not None and time.monotonic() > self._answer_due:
            # A broker that reads MQTT 5 as 3.1.1 (amqtt) waits for bytes that never come.
            what = "subscription" if self._accepted else "connection"
            text = f"the broker gave no answer to the {what} in time"
            self._end(text, unanswered=not self._accepted)
            return
        readable, writable = self._select(sock)
        code = self._read(sock) if readable else MQTTErrorCode.MQTT_ERR_SUCCESS
        self._publish_queue.send()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and (writable or self._client.want_write()):
            code = self._client.loop_write()
        # A paused connection cannot see the answer to a ping, and must not count it as missing.
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and not self._paused:
            code = self._client.loop_misc()
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end(mqtt.error_string(code))

    def _read(self, sock: mqtt.SocketLike) -> MQTTErrorCode:
        code = self._client.loop_read()
        pending = getattr(sock, "pending", None)
        # TLS decrypts whole records: data that it still holds does not make the socket readable.
        while (
            code == MQTTErrorCode.MQTT_ERR_SUCCESS
            and pending is not None
            and self._client.socket() is sock
            and not self._paused
            and pending() > 0
        ):
            code = self._client.loop_read()
        return code

    @property
    def _paused(self) -> bool:
        """Whether more is unacknowledged than allowed; then nothing is read, and TCP holds the rest back.

        MQTT 3.1.1 has no such limit, and some brokers break that of MQTT 5 (mosquitto 2.0.11 sends a whole
        window for each PUBACK).
        """
        return not self._draining and len(self.unacknowledged) > self._options.receive_maximum

    def drain(self) -> None:
        """Read on, however much is unacknowledged: before the end only answers matter."""
        self._draining = True
        self._wake()

    def _select(self, sock: mqtt.SocketLike) -> tuple[bool, bool]:
        """Wait for the socket or for a wake-up. Returns (readable, writable)."""
        paused = self._paused
        pending = getattr(sock, "pending", None)
        if not paused and pending is not None and pending() > 0:
            return True, False
        wake = self._wake_read
        assert wake is not None  # noqa: S101 - made by run(), the only caller
        events = 0 if paused else selectors.EVENT_READ
        if self._client.want_write():
            events |= selectors.EVENT_WRITE
        self._watch(sock, events)
        found = {key.fileobj: mask for key, mask in self._selector.select(_TICK_S)}
        if paused and _hung_up(sock):
            self._end("the broker ended the connection")
        if wake in found:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)
            self._awake = False  # before the work is looked for: what is queued from now on wakes again
        mask = found.get(sock, 0)
        return bool(mask & selectors.EVENT_READ), bool(mask & selectors.EVENT_WRITE)

    def _watch(self, sock: mqtt.SocketLike, events: int) -> None:
        """Let the selector wait for these events of the socket."""
        if events == self._watched:
            return
        if not events:
            self._selector.unregister(sock)
        elif not self._watched:
            self._selector.register(sock, events)
        else:
            self._selector.modify(sock, events)
        self._watched = events

    def _wake(self) -> None:
        pipe = self._wake_write
        if pipe is not None and not self._awake:
            self._awake = True
            # A full pipe wakes as well as one more byte; a closed one has nothing left to wake.
            with contextlib.suppress(OSError):
                pipe.send(b"\0")

    def _end(self, reason: str, *, unsupported_version: bool = False, unanswered: bool = False) -> None:
        if self._ended is None:
            self._ended = Ended(reason, self._accepted, unsupported_version, unanswered)

    # ------------------------------------------------------------------------------------ publish

    def publish(self, message: PublishPacket) -> Ticket:
        """Hand over with QoS 1. Raises TransportError: not connected, too large, or too many under way."""
        return self._publish_queue.put(message)

    def _send_ack(self, mid: int) -> None:
        self._client.ack(mid, 1)
        self._wake()

    # ---------------------------------------------------------------------------------- callbacks

    def _on_register_write(self, _client: mqtt.Client, _data: object, _sock: object) -> None:
        self._wake()

    def _on_connect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._end(
                f"the broker refused the connection: {reason}{self._advice(str(reason))}",
                unsupported_version=str(reason) == _UNSUPPORTED,
            )
            return
        self._accepted = True
        # amqtt answers SUBSCRIBE only after the deliveries that it kept for this session.
        self._answer_due = time.monotonic() + _SUBACK_S
        self.session_present = flags.session_present
        self._publish_queue.open(
            getattr(properties, "ReceiveMaximum", None), getattr(properties, "MaximumPacketSize", None)
        )
        if not self._subscriptions:
            self._become_ready()
            return
        code, self._subscribing = self._client.subscribe([(one, 1) for one in self._subscriptions])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end(f"the subscription could not be sent: {mqtt.error_string(code)}")

    def _advice(self, reason: str) -> str:
        if reason not in _UNKNOWN_USER:
            return ""
        if self._options.credentials()[0] is None:
            return "; it lets nobody in without a name: set broker.username and broker.password_file"
        return "; check broker.username and broker.password_file"

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if mid != self._subscribing:
            return
        granted = zip(self._subscriptions, reasons, strict=False)
        refused = [one for one, reason in granted if reason.value >= FAILURE]
        needed = [one for one in refused if one not in self._optional]
        if refused and not needed:
            logger.warning(
                "the broker refused the subscription %s; nothing is taken from there", ", ".join(refused)
            )
        if needed:
            self._end(
                f"the broker refused the subscriptions {', '.join(needed)}; check the rights of this user"
            )
            return
        self._become_ready()

    def _become_ready(self) -> None:
        self._ready = True
        self._listener.on_ready(self)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._listener.on_message(self, message)

    def _on_publish(
        self, _client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._publish_queue.acknowledged(mid, refusal(reason) if reason.value >= FAILURE else None)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        trouble = trouble_of(self._sock)
        if trouble is not None:
            self._end(why(trouble, self._options))
            return
        by_broker = flags.is_disconnect_packet_from_server
        text = (
            f"the broker ended the connection: {reason}" if by_broker else f"the connection ended: {reason}"
        )
        if str(reason) == "Session taken over":
            text += f"; another client uses the client id {self._options.client_id!r}, give each its own"
        unanswered = not self._accepted and not by_broker
        if unanswered:
            text += unexplained(self._options)
        self._end(text, unanswered=unanswered)
