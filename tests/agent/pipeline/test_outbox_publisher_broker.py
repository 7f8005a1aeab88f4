"""OutboxPublisher on a real broker: a message that it refuses does not block the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from agent.domain.frame import FrameIdentity
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.pipeline.outbox_publisher import OutboxPublisher
from agent.pipeline.worker import StageThread
from agent.ports import Entry, OutboxMessage
from agent.telemetry import Counters
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import CAMERA
from tests.support.plant import AGENT

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def commit(rooms: Rooms, number: int, topic: str, payload: bytes = b"{}") -> None:
    identity = FrameIdentity(CAMERA, str(number))
    inspection = Inspection(f"i{number}", identity, "A", Verdict.PASS, "", NOW, NOW)
    assert rooms.history.record([Entry(inspection, (OutboxMessage("mqtt", "verdict", topic, payload),))]) == [
        True
    ]


@contextmanager
def publishing(rooms: Rooms, url: str, max_outgoing: int = 8) -> Iterator[Counters]:
    counters, ending = Counters(), threading.Event()
    transport = MqttTransport(
        BrokerOptions(url, client_id="cell-7", max_outgoing=max_outgoing), Topics("plant", "cell-7")
    )
    publisher = OutboxPublisher(
        StageThread("publish-mqtt", threading.Event(), counters),
        MqttSink(transport, MqttMessageComposer(Topics("plant", "cell-7"), "1")),
        rooms.outbox,
        EventLog(rooms.history, (), counters),
        counters,
        ending,
        AGENT,
    )
    thread = threading.Thread(target=publisher.run)
    transport.start(lambda delivery: None)
    try:
        assert transport.wait_connected(15.0), transport.last_error
        thread.start()
        yield counters
    finally:
        ending.set()
        publisher.wake()
        thread.join(20.0)
        transport.stop()


def sent(rooms: Rooms, topic: str) -> bool:
    return any(row["destination"] == topic and row["sent_at"] is not None for row in rooms.rows("outbox"))


def test_a_message_too_large_for_the_broker_lets_the_others_pass(
    rooms: Rooms, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto(extra="max_packet_size 20000")
    commit(rooms, 1, "plant/line-1/cam/mask", b"x" * 30_000)
    commit(rooms, 2, "plant/line-1/cam/verdict")
    with publishing(rooms, broker.url) as counters:
        wait_until(lambda: sent(rooms, "plant/line-1/cam/verdict"), "the verdict behind it")
        assert counters.get("messages_undeliverable") == 1
    (event,) = rooms.rows("event")
    assert event["kind"] == "undeliverable"
    assert "takes at most 20,000" in event["message"]


def test_messages_that_the_broker_refuses_let_the_others_pass(
    rooms: Rooms, start_mosquitto: StartMosquitto, tmp_path: Path
) -> None:
    """A camera that names answers where the agent may not write must not keep verdicts back."""
    rights = tmp_path / "acl"
    rights.write_text("topic readwrite plant/#\n")
    rights.chmod(0o600)
    broker = start_mosquitto(extra=f"acl_file {rights}")
    for number in range(20):
        commit(rooms, number, f"elsewhere/{number}")
    commit(rooms, 20, "plant/line-1/cam/verdict")
    with publishing(rooms, broker.url):
        wait_until(lambda: sent(rooms, "plant/line-1/cam/verdict"), "the verdict behind them")
