"""kill -9 in mid-stream changes nothing: every frame published has exactly one row."""

from __future__ import annotations

from pathlib import Path

from adapters.mqtt.camera_publisher import CameraPublisher
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import StartMosquitto
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.subscriber import Subscriber

FRAMES = 60
SMALL = {"parameters": {"sightline": {"scales": [160]}}}
"""Images at half the side of the profile: what is tested does not depend on it."""


def test_every_frame_has_one_row_after_a_kill_in_mid_stream(
    tmp_path: Path, database_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto(persistence=True)
    agent = start_agent(broker.url, database_url, inspection=SMALL)
    camera = Camera("factory", "line-1", "cam-1")
    with Subscriber(broker.url, "factory/line-1/cam-1/verdict", "factory/sightline/+/status") as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        shots = list(drawn("gear", FRAMES))
        options = BrokerOptions(url=broker.url, client_id="camera-under-test", session_expiry_s=0)
        with CameraPublisher(options, Topics("factory"), camera) as publisher:
            assert publisher.run(shots[: FRAMES // 2]).acknowledged == FRAMES // 2
            customer.wait_for(lambda s: len(s.of("verdict")) >= 5, 60, "the first verdicts")
            agent.kill()
            assert publisher.run(shots[FRAMES // 2 :]).acknowledged == FRAMES // 2
            agent.start()
        customer.wait_for(
            lambda s: len(s.frame_ids()) == FRAMES, 120, f"a verdict for each of {FRAMES} frames"
        )
        assert agent.stop() == 0
    found = rows(database_url, "SELECT frame_id, verdict FROM inspection_history")
    assert len(found) == FRAMES
    assert len({row["frame_id"] for row in found}) == FRAMES
    assert not [row for row in found if row["verdict"] in ("ERROR", "SKIPPED")]
