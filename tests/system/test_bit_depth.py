"""A camera of 12 bits that sends PNG with 16 bits a channel: one scale, told once, also after a restart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.images.codec import CvImageCodec
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import wait_until
from tests.system.conftest import StartAgent, rows
from tests.system.subscriber import Subscriber

LEVELS = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
DARK = LEVELS // 5


def png(levels: np.ndarray) -> bytes:
    return cv2.imencode(".png", levels.astype(np.uint16) << 4)[1].tobytes()


@pytest.mark.slow
def test_a_camera_of_twelve_bits(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent, tmp_path: Path
) -> None:
    broker = start_mosquitto()
    options = {"inspection": {"method": "null"}, "cameras": {"line-1/stated": {"bits": 12}}}
    sent = 0
    for images in ((("found", LEVELS), ("found", DARK), ("stated", DARK)), (("found", DARK),)):
        agent = start_agent(broker.url, sqlite_url, **options)
        with Subscriber(broker.url, "factory/#") as plant:
            plant.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
            for camera, levels in images:
                plant.publish(f"factory/line-1/{camera}/sku", b"A-17", retain=True)
                plant.publish(f"factory/line-1/{camera}/frame", png(levels))
                sent += 1
            wait_until(lambda: len(plant.of("verdict")) == len(images), "the verdicts")  # noqa: B023
            assert agent.stop() == 0
    found = rows(sqlite_url, "SELECT camera, image_path FROM inspection_history ORDER BY received_at")
    assert len(found) == sent
    (media,) = {path.parents[2] for path in tmp_path.rglob(f"*/{Path(found[0]['image_path']).name}")}
    for row, levels in zip(found, (LEVELS, DARK, DARK, DARK), strict=True):
        kept = (media / row["image_path"]).read_bytes()
        assert np.array_equal(CvImageCodec().decode(kept)[..., 0], levels)
    assert Path(found[0]["image_path"]).stem == hashlib.sha256(png(LEVELS)).hexdigest()
    events = rows(sqlite_url, "SELECT camera, message FROM event WHERE kind = 'bit-depth' ORDER BY camera")
    assert [event["camera"] for event in events] == [f"factory/line-1/{name}" for name in ("found", "stated")]
    assert "as cameras.line-1/stated.bits states" in events[1]["message"]
