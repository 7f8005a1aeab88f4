"""A camera that loses frames and then falls silent: the installed agent alerts the customer."""

from __future__ import annotations

import pytest

from adapters.mqtt.camera_publisher import CameraPublisher, Shot
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import encoded
from tests.support.images import part
from tests.system.conftest import StartAgent, rows
from tests.system.subscriber import Subscriber

CAMERA = Camera("factory", "line-1", "cam-1")


def shot(number: int) -> Shot:
    return Shot(encoded(part(number)), "image/png", sku="gear", frame_id=f"f{number}", sequence=number)


@pytest.mark.slow
@pytest.mark.system
def test_lost_frames_and_silent_cameras_reach_the_customer(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto()
    agent = start_agent(
        broker.url,
        sqlite_url,
        inspection={"method": "null"},
        alerts={"silent_after": "1s", "gap_patience": "500ms"},
        cameras={"line-1/never": {}, "line-1/pausing": {"silent_after": 0}},
    )
    options = BrokerOptions(url=broker.url, client_id="camera-under-test", session_expiry_s=0)
    with Subscriber(broker.url, "factory/+/+/alert", "factory/sightline/+/status") as customer:

        def alerted(kind: str, camera: Camera = CAMERA) -> bool:
            alerts = [one for one in customer.of("alert") if one["kind"] == kind]
            return [one["camera"] for one in alerts].count(str(camera)) == 1

        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        with CameraPublisher(options, Topics("factory"), CAMERA) as publisher:
            assert publisher.run([shot(number) for number in (0, 1, 4)]).acknowledged == 3
            customer.wait_for(lambda _: alerted("gap"), 20, "the gap")
            customer.wait_for(lambda _: alerted("silent"), 30, "the camera timeout")
            never = Camera("factory", "line-1", "never")
            customer.wait_for(lambda _: alerted("silent", never), 30, "the camera that never sent")
            assert publisher.run([shot(5)]).acknowledged == 1
            customer.wait_for(lambda _: alerted("heard"), 30, "the end of the timeout")
    assert agent.stop() == 0
    found = rows(
        sqlite_url, "SELECT kind, camera, message FROM event WHERE kind IN ('gap', 'silent', 'heard')"
    )
    assert {row["camera"] for row in found} == {str(CAMERA), "factory/line-1/never"}
    (gap,) = (row for row in found if row["kind"] == "gap")
    assert "2 frames are missing from factory/line-1/cam-1: sequence 2 to 3" in gap["message"]
