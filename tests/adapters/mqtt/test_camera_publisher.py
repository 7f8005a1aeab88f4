"""CameraPublisher: images published as a camera would, and read back through the decoder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.images.decoder import FrameLimits, PayloadDecoder
from adapters.mqtt.camera_publisher import FORMS, CameraPublisher, Shot
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.topics import Topics
from agent.domain.errors import TransportError
from agent.domain.frame import Camera, DeliveryKind
from tests.adapters.mqtt.helpers import Agent, options, until
from tests.fixtures.mosquitto import Mosquitto, free_port

TIME = datetime(2026, 11, 20, 10, tzinfo=UTC)


def image(number: int) -> bytes:
    return cv2.imencode(".jpg", np.full((32, 48, 3), number, np.uint8))[1].tobytes()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("form", FORMS)
def test_every_image_arrives_with_its_identity(
    mosquitto: Mosquitto, tmp_path: Path, form: str, version: str
) -> None:
    decoder = PayloadDecoder(FrameLimits(allowed_roots=(tmp_path,)))
    shots = []
    for number in range(12):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(image(number))
        names = ("M8", f"p{number}", f"f{number}")
        shots.append(Shot(file.read_bytes(), "image/jpeg", *names, TIME, str(file), sequence=number))
    with Agent(options(mosquitto.url)) as agent:
        assert agent.transport.wait_connected(10)
        topics = Topics(agent.topics.site)
        camera = Camera(topics.site, "l", "c")
        opts = options(mosquitto.url, version=version, session_expiry_s=0)
        with CameraPublisher(opts, topics, camera, form=form, in_flight=3) as publisher:  # type: ignore[arg-type]
            publisher.announce_job("M8", "nut")
            published = publisher.run(shots, rate_hz=200)
            publisher.clear_job()
        assert (published.sent, published.acknowledged) == (12, 12)
        assert until(lambda: len(agent.deliveries) == 14)
    job, *frames, cleared = agent.deliveries
    assert JsonMessageParser().job(job).name == "nut"  # type: ignore[union-attr]
    assert JsonMessageParser().job(cleared) is None
    for number, delivery in enumerate(frames):
        assert delivery.kind == DeliveryKind.FRAME
        frame = decoder.decode(delivery)
        assert frame.encoded == shots[number].encoded
        if form == "raw" and version == "3.1.1":
            assert frame.identity.content_derived
            assert frame.identity.sku is None
        else:
            identity = frame.identity
            assert (identity.frame_id, identity.part_id, identity.sku) == (f"f{number}", f"p{number}", "M8")
            assert identity.captured_at == TIME
            assert identity.sequence == number


def test_a_reference_goes_to_its_own_topic(mosquitto: Mosquitto) -> None:
    with Agent(options(mosquitto.url)) as agent:
        assert agent.transport.wait_connected(10)
        camera = Camera(agent.topics.site, "l", "c")
        with CameraPublisher(options(mosquitto.url, session_expiry_s=0), agent.topics, camera) as publisher:
            assert publisher.enroll(Shot(image(1), sku="M8")).wait(5)
        assert until(lambda: agent.deliveries)
        assert agent.deliveries[0].kind == DeliveryKind.REFERENCE


def test_without_a_broker_it_says_why() -> None:
    opts = options(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(TransportError, match="cannot connect to 127"):
        CameraPublisher(opts, Topics(), Camera("factory", "l", "c")).connect(0.5)


def test_forms_are_checked() -> None:
    with pytest.raises(ValueError, match="raw, json, ref"):
        CameraPublisher(options("mqtt://h"), Topics(), Camera("factory", "l", "c"), form="bmp")  # type: ignore[arg-type]
