"""An agent takes up what the version before left: history, media folder and messages that nobody got yet."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import psycopg
import pytest

from adapters.mqtt.camera_publisher import CameraPublisher
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import wait_until
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.subscriber import Subscriber

OLD = Path(__file__).parents[1] / "storage" / "old"
BASE = "factory/line-1/cam-a"
PATIENCE_S = 120.0

pytestmark = pytest.mark.system


def test_the_messages_of_the_version_before_go_out_and_new_frames_follow(
    tmp_path: Path, database_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    if database_url.startswith("sqlite:///"):
        shutil.copy(OLD / "r0003.db", database_url.removeprefix("sqlite:///"))
    else:
        with psycopg.connect(database_url) as connection:
            connection.execute((OLD / "r0003.postgresql.sql").read_text())
    shutil.copytree(OLD / "r0003.media", tmp_path / "media")
    query = "SELECT topic, payload FROM outbox WHERE sent_at IS NULL ORDER BY id"
    owed = [(row["topic"], bytes(row["payload"])) for row in rows(database_url, query)]
    assert len(owed) == 6
    broker = start_mosquitto()
    topics = (f"{BASE}/verdict", f"{BASE}/alert", f"{BASE}/mask", "plc/answers/cam-a")
    options = BrokerOptions(url=broker.url, client_id="camera-under-test", session_expiry_s=0)
    with Subscriber(broker.url, *topics) as customer:
        agent = start_agent(broker.url, database_url, agent={"id": "cell-7"}, inspection={"method": "null"})
        customer.wait_for(lambda s: len(s.messages) >= len(owed), PATIENCE_S, "the old messages")
        with CameraPublisher(options, Topics("factory"), Camera("factory", "line-1", "cam-a")) as camera:
            assert camera.run(list(drawn("gear", 3))).acknowledged == 3
        customer.wait_for(lambda s: len(s.messages) == len(owed) + 3, PATIENCE_S, "the new verdicts")
        unsent = "SELECT id FROM outbox WHERE sent_at IS NULL"
        wait_until(lambda: rows(database_url, unsent) == [], "an empty outbox", PATIENCE_S)
        assert agent.stop() == 0
    came = [(topic, payload) for topic, payload, _ in customer.messages]
    assert came[: len(owed)] == owed, "in their order, byte for byte"
    found = rows(database_url, "SELECT frame_id, image_path FROM inspection_history")
    assert len(found) == 6
    for row in found:
        if row["image_path"] is not None:
            content = (tmp_path / "media" / row["image_path"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == Path(row["image_path"]).stem
