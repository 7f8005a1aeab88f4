"""A whole agent whose disk is full to the last byte: it alerts, makes room, and goes on without a person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adapters.mqtt.camera_publisher import CameraPublisher, Shot
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import StartMosquitto
from tests.fixtures.small_disk import small_disk
from tests.support.factory import fill_disk
from tests.system.conftest import StartAgent, rows
from tests.system.images import encode
from tests.system.subscriber import Subscriber

__all__ = ["small_disk"]

AGENT = "factory/sightline/under-test"
BASE = "factory/line-1/cam-1"
BEFORE, DURING = 40, 20


def noise(first: int, count: int) -> Iterator[Shot]:
    """Images of 180 kB that nothing can make smaller."""
    for seed in range(first, first + count):
        image = np.random.default_rng(seed).integers(0, 256, (240, 240, 3), dtype=np.uint8)
        name = f"part-{seed:04d}"
        yield Shot(encode(image, ".png"), "image/png", sku="noise", part_id=name, frame_id=name)


def kinds(customer: Subscriber) -> list[str]:
    """The agent's alerts about its disk, in order."""
    return [alert["kind"] for alert in customer.of("alert") if alert["camera"] == AGENT]


def test_frames_wait_for_room_that_the_agent_makes_and_none_is_lost(
    small_disk: Path, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto()
    url = f"sqlite:///{small_disk / 'history.db'}"
    media = small_disk / "media"
    agent = start_agent(broker.url, url, media={"path": str(media)}, inspection={"method": "null"})
    topics = (f"{BASE}/verdict", f"{AGENT}/alert", f"{AGENT}/status")
    options = BrokerOptions(url=broker.url, client_id="camera-under-test", session_expiry_s=0)
    with Subscriber(broker.url, *topics) as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        with CameraPublisher(options, Topics("factory"), Camera("factory", "line-1", "cam-1")) as camera:
            assert camera.run(noise(0, BEFORE)).acknowledged == BEFORE
            customer.wait_for(lambda s: len(s.frame_ids()) == BEFORE, 60, "the first verdicts")
            for file in media.rglob("*.png"):  # an image of the last minute would stay whatever happens
                os.utime(file, (1, 1))
            fill_disk(small_disk / "of others")
            assert camera.run(noise(BEFORE, DURING)).acknowledged == DURING
        customer.wait_for(lambda s: len(s.frame_ids()) == BEFORE + DURING, 60, "a verdict for each frame")
        customer.wait_for(lambda s: "disk-recovered" in kinds(s), 60, "that there is room again")
        assert kinds(customer)[0] == "disk-full"
    assert agent.stop() == 0
    found = rows(url, "SELECT frame_id, verdict, image_path FROM inspection_history")
    assert len(found) == len({row["frame_id"] for row in found}) == BEFORE + DURING
    assert {row["verdict"] for row in found} == {"PASS"}
    kept = [media / row["image_path"] for row in found if row["image_path"] is not None]
    assert DURING < len(kept) < BEFORE + DURING
    assert all(file.is_file() for file in kept)
    recorded = [
        row["kind"] for row in rows(url, "SELECT kind FROM event WHERE kind LIKE 'disk-%' ORDER BY id")
    ]
    assert recorded[0] == "disk-full"
    assert recorded[-1] == "disk-recovered"
