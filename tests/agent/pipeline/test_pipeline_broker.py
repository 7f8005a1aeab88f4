"""Pipeline on a real broker that restarts in mid-stream: a redelivered frame is not a second work item."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from adapters.mqtt.camera_publisher import CameraPublisher, Shot
from adapters.mqtt.publish_queue import PublishPacket
from adapters.mqtt.topics import Topics
from adapters.mqtt.transport import MqttTransport
from agent.domain.frame import Camera
from agent.ports import Entry
from agent.telemetry import Counters
from storage import SqlHistory
from tests.adapters.mqtt.helpers import DEADLINE_S, options, plain_client
from tests.fixtures.mosquitto import Mosquitto, StartMosquitto
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.plant import GatedFade, Plant

CAMERAS = (Camera("plant", "line-1", "top"), Camera("plant", "line-1", "side"))
WINDOW = 20
"""What mosquitto sends of MQTT 3.1.1 without an acknowledgement."""


class HeldHistory(SqlHistory):
    """Writes only while its gate is open: the frames before it are judged and not yet recorded."""

    gate: threading.Event

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        assert self.gate.wait(60.0)
        return super().record(entries)


class Stand:
    """A pipeline between a broker that goes away and rooms that stay."""

    def __init__(self, rooms: Rooms, broker: Mosquitto, version: str) -> None:
        self.broker = broker
        self.method = GatedFade()
        self.history = HeldHistory(rooms.database, agent_id="cell-7", agent_version="1")
        self.history.gate = threading.Event()
        self.history.gate.set()
        self.counters = Counters()
        self.transport = MqttTransport(
            options(broker.url, version=version, receive_maximum=2 * WINDOW),
            Topics("plant", "cell-7"),
            counters=self.counters,
        )
        self.plant = Plant(
            rooms, method=self.method, history=self.history, transport=self.transport, max_batch=4
        )

    def connected(self, times: int) -> None:
        wait_until(
            lambda: self.counters.get("mqtt_connections") >= times and self.transport.connected,
            "the connection",
        )

    def restarted(self) -> None:
        """The broker goes away in mid-stream and comes back with what it had written."""
        self.broker.stop()
        wait_until(lambda: not self.transport.connected, "the loss of the connection")
        self.broker.start()

    def shift(self, *parts: int, camera: Camera = CAMERAS[0]) -> None:
        """A camera that counts from 1 shows these parts."""
        opts = options(self.broker.url, session_expiry_s=0)
        with CameraPublisher(opts, Topics("plant"), camera, form="json") as publisher:
            shots = [Shot(encoded(part(n)), sku="A", frame_id=f"{i}") for i, n in enumerate(parts, 1)]
            assert publisher.run(shots).acknowledged == len(shots)

    def published(self, numbers: range) -> None:
        opts = options(self.broker.url, session_expiry_s=0)
        for camera in CAMERAS:
            with CameraPublisher(opts, Topics("plant"), camera, form="json") as publisher:
                shots = [Shot(encoded(part(n)), sku="A", frame_id=f"f-{n}", sequence=n) for n in numbers]
                assert publisher.run(shots).acknowledged == len(shots)


@pytest.fixture(params=["5", "3.1.1"])
def stand(rooms: Rooms, start_mosquitto: StartMosquitto, request: pytest.FixtureRequest) -> Iterator[Stand]:
    stand = Stand(rooms, start_mosquitto(persistence=True), request.param)
    stand.plant.pipeline.start()
    yield stand
    stand.method.gate.set()
    stand.history.gate.set()
    stand.plant.pipeline.stop(10.0)


@pytest.mark.slow
def test_works_in_flight_survive_two_restarts_of_the_broker(stand: Stand) -> None:
    stand.connected(1)
    stand.method.gate.clear()
    stand.published(range(12))
    wait_until(lambda: stand.transport.unacknowledged >= WINDOW, "a full window")

    stand.restarted()  # while frames are judged: their deliveries come again and join the same work items
    stand.connected(2)
    wait_until(lambda: stand.counters.get("mqtt_redelivered") >= WINDOW - 1, "the frames once more")
    stand.history.gate.clear()
    stand.method.gate.set()
    wait_until(lambda: stand.method.scored >= 5, "judged frames")

    stand.restarted()  # while they are recorded
    stand.connected(3)
    stand.history.gate.set()
    stand.published(range(12, 20))
    wait_until(lambda: len(stand.plant.rows()) == 40, "a row for each frame", 30.0)
    wait_until(lambda: stand.transport.unacknowledged == 0, "all acknowledgements")

    rows: list[dict[str, Any]] = stand.plant.rows()
    assert len({(row["camera"], row["frame_id"]) for row in rows}) == len(rows) == 40
    assert {row["verdict"] for row in rows} == {"REVIEW"}
    assert stand.plant.counters.get("frames_repeated") > 0
    assert "gap" not in stand.plant.events()


def test_the_broker_forgets_what_was_acknowledged_and_only_that(stand: Stand) -> None:
    """A stale acknowledgement would make it forget another message that has the same number by now."""
    stand.connected(1)
    stand.method.gate.clear()
    stand.published(range(4))
    wait_until(lambda: stand.transport.unacknowledged == 8, "all frames")
    stand.restarted()
    stand.connected(2)
    wait_until(lambda: stand.transport.unacknowledged == 8, "all frames once more")
    stand.method.gate.set()
    wait_until(lambda: stand.transport.unacknowledged == 0, "all acknowledgements")
    stand.plant.pipeline.stop(10.0)
    found: list[bytes] = []
    again = MqttTransport(
        options(stand.broker.url, client_id=stand.transport._session.options.client_id),
        Topics("plant", "cell-7"),
    )
    again.start(lambda delivery: found.append(delivery.payload))
    assert again.wait_connected(DEADLINE_S)
    with plain_client(stand.broker.url) as (other, _):
        assert other.publish(PublishPacket("plant/line-1/top/frame", b"last")).wait(5)
    wait_until(lambda: found, "the last frame")
    again.stop()
    assert found == [b"last"]  # the broker delivers in order: had it kept another, that would come first


def test_a_counter_that_begins_anew_costs_no_part(stand: Stand) -> None:
    stand.connected(1)
    stand.shift(1, 2, 3)
    stand.shift(1, 2, 3)  # the same once more
    stand.shift(4, 5, 3)
    wait_until(lambda: len(stand.plant.rows()) == 5 and stand.transport.unacknowledged == 0, "five rows")
    stand.method.gate.clear()
    stand.shift(6, 7, 3)
    stand.shift(8, 7)  # another camera on the same topic, while the first one's frames are under way
    stand.method.gate.set()
    stand.shift(1, 2, 3, camera=CAMERAS[1])
    wait_until(lambda: len(stand.plant.rows()) == 11 and stand.transport.unacknowledged == 0, "eleven rows")

    rows = [row for row in stand.plant.rows() if row["camera"] == "top"]
    sent = [row["sent_frame_id"] or row["frame_id"] for row in rows]
    assert sorted(sent) == ["1", "1", "1", "1", "2", "2", "2", "3"]
    assert len({row["frame_id"] for row in rows}) == len({row["image_path"] for row in rows}) == 8
    assert stand.plant.events().count("frame-id-reused") == 1
    assert stand.plant.counters.get("frame_ids_used_again") == 5
    verdicts = [row for row in stand.plant.rooms.rows("outbox") if row["kind"] == "verdict"]
    assert len(verdicts) == 11
