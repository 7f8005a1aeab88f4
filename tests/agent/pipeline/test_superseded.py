"""Skipped frames that wait for their rows: bounded, and nothing of them is dropped in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.images.decoder import PayloadDecoder
from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity
from agent.pipeline.in_flight import InFlight
from agent.pipeline.superseded import Superseded, SupersededFrames
from agent.pipeline.work_item import WorkItem
from agent.telemetry import Counters
from tests.support.factory import Rooms
from tests.support.loopback import CAMERA, message


def frame(number: int, size: int = 1000, *, guaranteed: bool = False, stale: bool = False) -> Delivery:
    payload = b"\xff\xd8\xff" + bytes(size - 3)
    delivery = message(DeliveryKind.FRAME, payload, frame_id=f"f-{number}").delivery
    return replace(delivery, guaranteed=guaranteed, stale=lambda: stale)


class Box:
    """Skips with what they told."""

    def __init__(self, rooms: Rooms, most: int = 10, most_bytes: int = 10**9) -> None:
        self.counters = Counters()
        self.lost: list[Camera] = []
        self.in_flight = InFlight(rooms.history)
        self.skips = SupersededFrames(
            PayloadDecoder().identify,
            self.in_flight.forget,
            lambda camera, why: self.lost.append(camera),
            self.counters,
            most=most,
            most_bytes=most_bytes,
        )

    def work(self, delivery: Delivery) -> WorkItem:
        identity = FrameIdentity(CAMERA, delivery.properties["frame_id"])
        assert self.in_flight.enter(identity, delivery) is not None
        return WorkItem(delivery, identity)

    def names(self) -> list[str]:
        return [_name(one) for one in self.skips.take(10**6)]


def _name(skip: Superseded) -> str:
    return skip.delivery.properties["frame_id"]


def test_they_are_taken_in_their_order(rooms: Rooms) -> None:
    box = Box(rooms)
    for number in range(5):
        box.skips.add_delivery(frame(number))
    assert [_name(one) for one in box.skips.take(2)] == ["f-0", "f-1"]
    assert box.names() == ["f-2", "f-3", "f-4"]
    assert (len(box.skips), box.skips.bytes_held, box.lost) == (0, 0, [])


def test_beyond_the_bounds_the_oldest_are_counted_and_let_go(rooms: Rooms) -> None:
    box = Box(rooms, most=1000, most_bytes=5000)
    for number in range(100):
        box.skips.add_delivery(frame(number))
        assert box.skips.bytes_held <= 5000
    assert len(box.lost) == 95
    assert box.names() == [f"f-{number}" for number in range(95, 100)]


def test_once_identified_they_need_no_payload(rooms: Rooms) -> None:
    box = Box(rooms, most=1000, most_bytes=5000)
    for number in range(100):
        box.skips.add_delivery(frame(number))
        box.skips.compact()
        assert box.skips.bytes_held == 0
    taken = box.skips.take(1000)
    assert box.lost == []
    assert [one.identity.frame_id for one in taken if one.identity] == [f"f-{n}" for n in range(100)]


def test_what_the_broker_guarantees_is_kept(rooms: Rooms) -> None:
    box = Box(rooms, most=3)
    for number in range(6):
        box.skips.add_delivery(frame(number, guaranteed=number % 2 == 0))
    assert box.names() == ["f-0", "f-2", "f-4"]
    assert len(box.lost) == 3


def test_of_a_connection_that_is_gone_the_broker_brings_it_again(rooms: Rooms) -> None:
    box = Box(rooms, most=3)
    for number in range(6):
        box.skips.add_delivery(frame(number, guaranteed=True, stale=number < 4))
    assert box.names() == ["f-3", "f-4", "f-5"]
    assert box.lost == []
    assert box.counters.get("deliveries_stale_dropped") == 3


@pytest.mark.parametrize("guaranteed", [True, False])
def test_decoded_ones_keep_no_image_and_are_bounded_too(rooms: Rooms, guaranteed: bool) -> None:
    box = Box(rooms, most=4)
    for number in range(10):
        box.skips.add_work(box.work(frame(number, guaranteed=guaranteed)))
    assert len(box.lost) == (0 if guaranteed else 6)
    assert len(box.in_flight) == len(box.skips) == (10 if guaranteed else 4)
    for one in box.skips.take(100):
        assert one.work is not None
        assert (one.work.size, one.work.frame) == (0, None)
