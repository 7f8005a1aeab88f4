"""What a real broker refuses stands in nobody's way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from agent.domain.frame import FrameIdentity
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.pipeline.outbox_publisher import OutboxPublisher
from agent.ports import Entry, OutboxMessage
from agent.telemetry import Counters
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import CAMERA

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def commit(rooms: Rooms, number: int, topic: str, payload: bytes = b"{}") -> None:
    identity = FrameIdentity(CAMERA, str(number))
    inspection = Inspection(f"i{number}", identity, "A", Verdict.PASS, "", NOW, NOW)
    assert rooms.history.record([Entry(inspection, (OutboxMessage("verdict", topic, payload),))]) == [True]


@contextmanager
def draining(rooms: Rooms, url: str, max_outgoing: int = 8) -> Iterator[Counters]:
    counters, ending = Counters(), threading.Event()
    transport = MqttTransport(
        BrokerOptions(url, client_id="cell-7", max_outgoing=max_outgoing), Topics("plant", "cell-7")
    )
    drain = OutboxPublisher(rooms.outbox, rooms.history, transport, counters)
    thread = threading.Thread(target=drain.run, args=(ending,))
    transport.start(lambda delivery: None)
    try:
        assert transport.wait_connected(15.0), transport.last_error
        thread.start()
        yield counters
    finally:
        ending.set()
        drain.wake()
        thread.join(20.0)
        transport.stop()


def sent(rooms: Rooms, topic: str) -> bool:
    return any(row["topic"] == topic and row["sent_at"] is not None for row in rooms.rows("outbox"))


def test_a_message_too_large_for_the_broker_lets_the_others_pass(
    rooms: Rooms, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto(extra="max_packet_size 20000")
    commit(rooms, 1, "plant/line-1/cam/mask", b"x" * 30_000)
    commit(rooms, 2, "plant/line-1/cam/verdict")
    with draining(rooms, broker.url) as counters:
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
    with draining(rooms, broker.url):
        wait_until(lambda: sent(rooms, "plant/line-1/cam/verdict"), "the verdict behind them")
