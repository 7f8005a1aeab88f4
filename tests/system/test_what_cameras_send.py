"""What real cameras, bridges and people send: every topic, every form, each named and answered."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import wait_until
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.process import sightline
from tests.system.subscriber import Subscriber

NAMES = ["line 1/cam-1", "/cam-1", "Linie\u00a01/$cam", "[b]/x[b]", "部品/🎥"]
"""LINE/CAMERA, each as MQTT allows it."""


@pytest.mark.slow
def test_topics_jobs_forms_and_times(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto()
    images = [shot.encoded for shot in drawn("gear", 12)]
    cameras = {"line 1/cam-1": {"timezone": "Asia/Tokyo", "shadow": True}}
    agent = start_agent(broker.url, sqlite_url, inspection={"method": "null"}, cameras=cameras)
    with Subscriber(broker.url, "factory/#") as plant:
        plant.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        for number, name in enumerate(NAMES):  # jobs as plain text, images as they are
            plant.publish(f"factory/{name}/sku", "Ref\u00a012\n".encode(), retain=True)
            plant.publish(f"factory/{name}/frame", images[number])
        base64_text = base64.urlsafe_b64encode(images[5]).rstrip(b"=")
        local = (datetime.now(UTC) + timedelta(hours=9)).replace(tzinfo=None).isoformat()
        image = base64.b64encode(images[6]).decode()
        fields = {"image": image, "frame_id": "Shot 10\u202fPM.jpg", "captured_at": local}
        for payload in (
            base64_text,
            b"\xef\xbb\xbf" + json.dumps(fields).encode(),
            json.dumps({"type": "Buffer", "data": list(images[7])}).encode(),
            b"data:image/jpeg;base64," + base64.b64encode(images[8]),
        ):
            plant.publish("factory/line 1/cam-1/frame", payload)
        for number in range(3):  # a camera that takes its local time for UTC
            body = {**fields, "frame_id": f"t-{number}"}
            plant.publish("factory/line-2/cam-1/frame", json.dumps({**body, "sku": "Ref 12"}).encode())
        for _ in range(3):
            plant.publish(f"factory/{'x' * 256}/cam/frame", images[9])
        total = len(NAMES) + 4 + 3
        plant.wait_for(lambda s: len(s.of("verdict")) == total, 60, f"{total} verdicts")
        answered = {topic for topic, *_ in plant.messages if topic.endswith("/verdict")}
        assert answered == {f"factory/{name}/verdict" for name in (*NAMES, "line-2/cam-1")}
        plant.publish("factory/line 1/cam-1/feedback", b'{"frame_id": "Shot  10 PM.jpg", "truth": "good"}')
        plant.publish("factory/line 1/cam-1/feedback", b'{"frame_id": "Shot 11 PM.jpg", "truth": "good"}')
        wait_until(lambda: "Shot 11 PM.jpg" in agent.log, "the refusal of the feedback")
        assert agent.stop() == 0
    columns = "line, camera, frame_id, sku, verdict, captured_at, received_at"
    found = rows(sqlite_url, f"SELECT {columns} FROM inspection")  # noqa: S608
    assert {(row["verdict"] == "ERROR", row["sku"]) for row in found} == {(False, "Ref 12")}
    assert {f"{row['line']}/{row['camera']}" for row in found} == {*NAMES, "line-2/cam-1"}
    (zoned,) = [row for row in found if row["frame_id"] == "Shot 10 PM.jpg"]
    captured, received = (datetime.fromisoformat(zoned[key]) for key in ("captured_at", "received_at"))
    assert abs(received - captured) < timedelta(minutes=5)
    events = rows(sqlite_url, "SELECT kind, camera, message FROM event")
    (topic,) = [one["message"] for one in events if one["kind"] == "bad-topic"]
    assert "x" * 256 in topic
    assert "256 characters" in topic
    assert agent.log.count("256 characters") == 1
    (zone,) = [one for one in events if one["kind"] == "camera-zone"]
    assert zone["camera"] == "factory/line-2/cam-1"
    assert "9 h ahead" in zone["message"]
    given = ("feedback", "--frame-id", "Shot 10\u202fPM.jpg", "--camera", "factory/line 1/cam-1", "defective")
    assert sightline(*given, "--config", agent.config).returncode == 0
    truths = rows(sqlite_url, "SELECT truth FROM feedback ORDER BY id")
    assert [row["truth"] for row in truths] == ["good", "defective"]


@pytest.mark.slow
def test_templates_without_a_line(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto()
    kinds = ("frame", "sku", "reference", "feedback", "verdict", "alert", "mask")
    topics = {kind: f"{{site}}/{{camera}}/{kind}" for kind in kinds}
    agent = start_agent(broker.url, sqlite_url, inspection={"method": "null"}, topics=topics)
    with Subscriber(broker.url, "factory/#") as plant:
        plant.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        plant.publish("factory/cam 1/sku", b"4711", retain=True)
        (shot,) = drawn("gear", 1)
        plant.publish("factory/cam 1/frame", shot.encoded)
        plant.wait_for(lambda s: bool(s.of("verdict")), 30, "the verdict")
        (verdict,) = plant.of("verdict")
        assert (verdict["line"], verdict["camera"], verdict["sku"]) == ("main", "cam 1", "4711")
        assert agent.stop() == 0
    (row,) = rows(sqlite_url, "SELECT line, camera FROM inspection")
    assert (row["line"], row["camera"]) == ("main", "cam 1")
