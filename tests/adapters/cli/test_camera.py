"""``sightline camera`` against a real broker."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.adapters.cli.conftest import CommandLine
from tests.fixtures.mosquitto import Mosquitto

Gears = Callable[[str, int], Path]
DEADLINE_S = 10.0


class Listener:
    """Everything that is published below one site."""

    def __init__(self) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._changed = threading.Condition()

    def hear(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[mqtt.MQTTMessage]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, DEADLINE_S), self.messages
            return self.messages


@contextmanager
def listening(broker: Mosquitto, site: str) -> Iterator[Listener]:
    listener, subscribed = Listener(), threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def subscribe(*_: object) -> None:
        client.subscribe(f"{site}/#", qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = listener.hear
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert subscribed.wait(DEADLINE_S)
    yield listener
    client.disconnect()
    client.loop_stop()


def properties(message: mqtt.MQTTMessage) -> dict[str, str]:
    return dict(getattr(message.properties, "UserProperty", ()))


@pytest.fixture
def site() -> str:
    return f"site-{uuid.uuid4().hex[:8]}"


def test_a_folder_goes_out_raw_in_sorted_order(
    sightline: CommandLine, mosquitto: Mosquitto, gears: Gears, site: str
) -> None:
    folder = gears("images", 3)
    (folder / "deep").mkdir()
    (folder / "deep" / "a.png").write_bytes(b"whatever the camera sends")
    (folder / "notes.txt").write_text("no image")
    with listening(mosquitto, site) as listener:
        output = sightline(
            "camera", "--source", str(folder), "--camera", "l1/top", "--sku", "GR", "--rate", "100",
            "--broker", mosquitto.url, "--site", site, "--announce-job",
        ).stdout  # fmt: skip
        job, *frames = listener.wait_for(5)
    assert job.topic == f"{site}/l1/top/sku"
    assert json.loads(job.payload)["sku"] == "GR"
    assert {frame.topic for frame in frames} == {f"{site}/l1/top/frame"}
    assert [properties(frame)["frame_id"] for frame in frames] == [
        "000.jpg",
        "001.jpg",
        "002.jpg",
        "deep/a.png",
    ]
    assert properties(frames[0])["sku"] == "GR"
    assert frames[0].payload == (folder / "000.jpg").read_bytes()
    assert frames[0].qos == 1
    assert f"4 frames published, 4 acknowledged by 127.0.0.1:{mosquitto.port} (MQTT 5)" in output


def test_json_over_mqtt_3_1_1_and_a_path(
    sightline: CommandLine, mosquitto: Mosquitto, gears: Gears, site: str
) -> None:
    folder = gears("images", 1)
    common = (
        "camera",
        "--source",
        str(folder),
        "--camera",
        "l1/top",
        "--fast",
        "--broker",
        mosquitto.url,
        "--site",
        site,
    )
    with listening(mosquitto, site) as listener:
        assert "(MQTT 3.1.1)" in sightline(*common, "--form", "json", "--protocol", "3.1.1").stdout
        sightline(*common, "--form", "ref", "--prefix", "again-")
        bodies: list[dict[str, Any]] = [json.loads(message.payload) for message in listener.wait_for(2)]
    assert bodies[0]["frame_id"] == "000.jpg"
    assert len(bodies[0]["image"]) > 100
    assert bodies[1]["frame_id"] == "again-000.jpg"
    assert bodies[1]["image_ref"] == str(folder / "000.jpg")


def test_looping_gives_new_frame_ids(
    sightline: CommandLine, mosquitto: Mosquitto, gears: Gears, site: str
) -> None:
    with listening(mosquitto, site) as listener:
        sightline(
            "camera", "--source", str(gears("images", 2)), "--camera", "l1/top", "--fast", "--loop",
            "--count", "5", "--broker", mosquitto.url, "--site", site,
        )  # fmt: skip
        ids = [properties(message)["frame_id"] for message in listener.wait_for(5)]
    assert ids == ["000.jpg", "001.jpg", "000.jpg#2", "001.jpg#2", "000.jpg#3"]


def test_drawn_images(sightline: CommandLine, mosquitto: Mosquitto, site: str) -> None:
    with listening(mosquitto, site) as listener:
        sightline(
            "camera", "--source", "simulated", "--family", "bottle_cap", "--camera", "l1/top", "--count", "3",
            "--fast", "--broker", mosquitto.url, "--site", site,
        )  # fmt: skip
        frames = listener.wait_for(3)
    assert all(bytes(frame.payload).startswith(b"\xff\xd8") for frame in frames)
    assert {properties(frame)["sku"] for frame in frames} == {"bottle_cap"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--source", "gone", "--camera", "a/b"), "no file or folder"),
        (("--source", "simulated", "--camera", "nonsense"), "LINE/CAM"),
        (("--source", "simulated", "--camera", "a/b", "--family", "unicorn"), "no family"),
        (("--source", "simulated", "--camera", "a/b", "--announce-job"), "needs --sku"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    sightline: CommandLine, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in sightline("camera", *arguments, code=1).stderr


def test_check_says_what_the_broker_speaks(sightline: CommandLine, mosquitto: Mosquitto) -> None:
    result = sightline("check", "--json", "--set", f"broker.url={mosquitto.url}", code=None)
    broker = {one["part"]: one for one in json.loads(result.stdout)}["broker"]
    assert broker["state"] == "ok"
    assert "speaks MQTT 5" in broker["detail"]
