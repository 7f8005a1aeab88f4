"""A receiver of webhooks in all its troubles, and kill -9: MQTT does not wait for it, and nothing is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.mqtt.camera_publisher import CameraPublisher, Shot
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import wait_until
from tests.support.webhook_receiver import Received, webhook_receiver
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.subscriber import Subscriber

BASE = "factory/line-1/cam-1"
AGENT = "factory/sightline/under-test"
FRAMES = 500
PHASES = ("slow", "down", "HTTP 500", "HTTP 400", "hang-up")
KEY = b"0123456789abcdef"
PATIENCE_S = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.system]


def shots() -> list[list[Shot]]:
    """As many frames for each phase; a few images serve for all."""
    images = list(drawn("gear", 10))
    names = [f"part-{number:04d}" for number in range(FRAMES)]
    frames = [replace(images[n % 10], frame_id=name, part_id=name) for n, name in enumerate(names)]
    size = FRAMES // len(PHASES)
    return [frames[start : start + size] for start in range(0, FRAMES, size)]


def frame_ids(received: Sequence[Received]) -> list[str]:
    bodies = [json.loads(one.body) for one in received]
    return [body["frame_id"] for body in bodies if body["schema"] == "sightline.verdict/1"]


def genuine(received: Received) -> bool:
    sent = dict(part.split("=", 1) for part in received.headers["sightline-signature"].split(","))
    signed = hmac.new(KEY, sent["t"].encode() + b"." + received.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, sent["v1"])


def waiting(database_url: str, sink: str) -> int:
    query = f"SELECT COUNT(*) AS n FROM outbox WHERE sent_at IS NULL AND sink = '{sink}'"  # noqa: S608
    return int(rows(database_url, query)[0]["n"])


def test_a_receiver_in_trouble_delays_no_verdict_and_loses_no_message(
    tmp_path: Path, sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto(persistence=True)
    (tmp_path / "mes.key").write_bytes(KEY + b"\n")
    slow, down, failing, refusing, hanging = shots()
    options = BrokerOptions(url=broker.url, client_id="camera-under-test", session_expiry_s=0)
    topics = (f"{BASE}/verdict", f"{AGENT}/alert", f"{AGENT}/status")
    with (
        webhook_receiver() as first,
        Subscriber(broker.url, *topics) as customer,
        CameraPublisher(options, Topics("factory"), Camera("factory", "line-1", "cam-1")) as camera,
    ):
        webhook = {
            "url": first.url("hook/t0ken"),
            "verdicts": ["PASS", "FAIL", "REVIEW", "ERROR"],
            "key_file": str(tmp_path / "mes.key"),
            "allowed_addresses": ["127.0.0.1"],
            "timeout": "2s",
        }
        agent = start_agent(broker.url, sqlite_url, inspection={"method": "null"}, webhooks={"mes": webhook})
        published: list[str] = []

        def inspect(frames: Sequence[Shot]) -> None:
            """Publish, and wait for the verdicts on MQTT, whatever the receiver does meanwhile."""
            assert camera.run(frames).acknowledged == len(frames)
            published.extend(str(frame.frame_id) for frame in frames)
            customer.wait_for(
                lambda s: s.frame_ids() == set(published), PATIENCE_S, f"{len(published)} verdicts"
            )

        customer.wait_for(lambda s: bool(s.of("status")), PATIENCE_S, "the agent's birth")

        first.manner, first.delay_s = "slow", 0.5
        inspect(slow)
        assert len(frame_ids(first.accepted)) < len(slow), "MQTT is done before the slow receiver is"
        port, early = first.port, first.accepted
        first.hang_up()
        inspect(down)

        with webhook_receiver(port=port) as receiver:
            receiver.status = 500
            inspect(failing)
            assert receiver.accepted == []
            unseen = len(published) - len(set(frame_ids(first.accepted)))
            # The connection may have been cut before the answer to the last one reached the agent.
            assert waiting(sqlite_url, "webhook:mes") in (unseen, unseen + 1)
            agent.kill()

            receiver.status = 400
            agent.start()
            inspect(refusing)
            customer.wait_for(
                lambda s: "sink-parked" in [alert["kind"] for alert in s.of("alert")], PATIENCE_S, "an alert"
            )
            (parked,) = rows(sqlite_url, "SELECT message, severity FROM event WHERE kind = 'sink-parked'")
            assert "webhook 'mes' at http://127.0.0.1 answers HTTP 400" in parked["message"]
            assert parked["severity"] == "error"
            assert receiver.accepted == []
            agent.kill()

            receiver.status, receiver.manner = 200, "hang-up"
            before = len(receiver.received)
            agent.start()
            inspect(hanging)
            wait_until(lambda: len(receiver.received) - before >= 3, "attempts that end half-way", PATIENCE_S)
            assert receiver.accepted == []

            receiver.manner = "answer"
            wait_until(
                lambda: set(frame_ids([*early, *first.accepted, *receiver.accepted])) == set(published),
                f"all {FRAMES} verdicts at the receiver",
                PATIENCE_S,
            )
            wait_until(lambda: waiting(sqlite_url, "webhook:mes") == 0, "an empty outbox", PATIENCE_S)
            assert agent.stop() == 0
            received = [*first.received, *receiver.received]
            alerts = [json.loads(one.body) for one in receiver.accepted]

    assert len(published) == FRAMES
    assert waiting(sqlite_url, "mqtt") == 0
    assert not rows(
        sqlite_url, "SELECT message FROM event WHERE kind IN ('undeliverable', 'stage-restarted')"
    )
    assert "sink-parked" in [alert.get("kind") for alert in alerts], "the receiver gets it, too, afterwards"
    assert all(genuine(one) for one in received)
    by_id = {one.headers["sightline-message-id"]: one.body for one in received}
    assert len(by_id) == len({one.body for one in received}), "an id for each message"
    assert all(by_id[one.headers["sightline-message-id"]] == one.body for one in received)
    ours = {json.dumps(verdict, sort_keys=True) for verdict in customer.of("verdict")}
    theirs = {
        json.dumps(json.loads(body), sort_keys=True)
        for body in by_id.values()
        if b"sightline.verdict" in body
    }
    assert theirs == ours, "byte for byte what MQTT carries"
    assert "t0ken" not in agent.log
    assert KEY.decode() not in agent.log
