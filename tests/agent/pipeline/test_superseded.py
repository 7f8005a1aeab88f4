"""SupersededFrames: frames that wait for their rows are bounded, and none is dropped uncounted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.frame import Delivery, DeliveryKind, FrameIdentity
from agent.pipeline.superseded import Superseded
from agent.pipeline.work_item import WorkItem
from tests.support.loopback import CAMERA, message
from tests.support.parts import Superseding


def frame(number: int, size: int = 1000, *, guaranteed: bool = False, stale: bool = False) -> Delivery:
    payload = b"\xff\xd8\xff" + bytes(size - 3)
    delivery = message(DeliveryKind.FRAME, payload, frame_id=f"f-{number}").delivery
    return replace(delivery, guaranteed=guaranteed, stale=lambda: stale)


class Box(Superseding):
    """Superseded frames, with questions about them."""

    def work(self, delivery: Delivery) -> WorkItem:
        identity = FrameIdentity(CAMERA, delivery.properties["frame_id"])
        assert self.in_flight.enter(identity, delivery) is not None
        return WorkItem(delivery, identity)

    def names(self) -> list[str]:
        return [_name(one) for one in self.frames.take(10**6)]


def _name(skip: Superseded) -> str:
    return skip.delivery.properties["frame_id"]


def test_they_are_taken_in_their_order() -> None:
    box = Box()
    for number in range(5):
        box.frames.add_delivery(frame(number))
    assert [_name(one) for one in box.frames.take(2)] == ["f-0", "f-1"]
    assert box.names() == ["f-2", "f-3", "f-4"]
    assert (len(box.frames), box.frames.bytes_held, box.unrecorded) == (0, 0, 0)


def test_beyond_the_bounds_the_oldest_are_counted_and_let_go() -> None:
    box = Box(most=1000, most_bytes=5000)
    for number in range(100):
        box.frames.add_delivery(frame(number))
        assert box.frames.bytes_held <= 5000
    assert box.unrecorded == 95
    assert box.names() == [f"f-{number}" for number in range(95, 100)]


def test_once_identified_they_need_no_payload() -> None:
    box = Box(most=1000, most_bytes=5000)
    for number in range(100):
        box.frames.add_delivery(frame(number))
        box.frames.compact()
        assert box.frames.bytes_held == 0
    taken = box.frames.take(1000)
    assert box.unrecorded == 0
    assert [one.identity.frame_id for one in taken if one.identity] == [f"f-{n}" for n in range(100)]


def test_what_the_broker_guarantees_is_kept() -> None:
    box = Box(most=3)
    for number in range(6):
        box.frames.add_delivery(frame(number, guaranteed=number % 2 == 0))
    assert box.names() == ["f-0", "f-2", "f-4"]
    assert box.unrecorded == 3


def test_of_a_connection_that_is_gone_the_broker_brings_it_again() -> None:
    box = Box(most=3)
    for number in range(6):
        box.frames.add_delivery(frame(number, guaranteed=True, stale=number < 4))
    assert box.names() == ["f-3", "f-4", "f-5"]
    assert box.unrecorded == 0
    assert box.counters.get("deliveries_stale_dropped") == 3


@pytest.mark.parametrize("guaranteed", [True, False])
def test_decoded_ones_keep_no_image_and_are_bounded_too(guaranteed: bool) -> None:
    box = Box(most=4)
    for number in range(10):
        box.frames.add_work(box.work(frame(number, guaranteed=guaranteed)))
    assert box.unrecorded == (0 if guaranteed else 6)
    assert len(box.in_flight) == len(box.frames) == (10 if guaranteed else 4)
    for one in box.frames.take(100):
        assert one.work is not None
        assert (one.work.size, one.work.frame) == (0, None)
