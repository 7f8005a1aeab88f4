"""StageQueue: order, bounds, and only the newest frame of a camera that wants only that."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace

import pytest

from agent.domain.frame import Camera, DeliveryKind, FrameIdentity
from agent.pipeline.stage_queue import StageQueue
from agent.pipeline.work_item import WorkItem
from tests.support.loopback import CAMERA, message
from tests.support.parts import Superseding
from tests.support.parts import latest as rules_of

SIDE = Camera("plant", "line-1", "side")


def work(name: str, camera: Camera = CAMERA) -> WorkItem:
    return WorkItem(message(DeliveryKind.FRAME, b"", camera).delivery, FrameIdentity(camera, name))


class Ready:
    def __init__(self, capacity: int = 4, *latest: Camera) -> None:
        self._superseding = Superseding()
        self.queue = StageQueue(capacity, rules_of(*latest), self._superseding.frames)

    @property
    def superseded(self) -> list[str]:
        return [one.identity.frame_id for one in self._superseding.frames.take(100) if one.identity]

    def put(self, *works: WorkItem) -> None:
        for one in works:
            self.queue.put(one, 0.01)

    def taken(self) -> list[str]:
        return [one.identity.frame_id for one in self.queue.take(100, 0.0)]


def test_the_order_is_kept_and_the_bound_holds() -> None:
    ready = Ready(2)
    ready.put(work("a"), work("b"))
    with pytest.raises(queue.Full):
        ready.put(work("c"))
    assert ready.taken() == ["a", "b"]


def test_of_a_latest_camera_only_the_newest_waits_even_where_the_queue_is_full() -> None:
    ready = Ready(2, CAMERA)
    ready.put(work("a"), work("s", SIDE), work("b"), work("c"))
    assert ready.superseded == ["a", "b"]
    assert ready.taken() == ["c", "s"]


def test_a_camera_that_is_fast_keeps_its_place_in_the_queue() -> None:
    ready = Ready(3, CAMERA)
    ready.put(work("s", SIDE), work("a"), work("t", SIDE), work("b"))
    assert ready.taken() == ["s", "b", "t"]


def test_a_frame_that_failed_already_is_not_replaced() -> None:
    ready = Ready(4, CAMERA)
    ready.put(work("bad").fail("unreadable"), work("b"))
    assert not ready.superseded
    assert ready.taken() == ["bad", "b"]


def test_images_in_the_queue_are_bounded_by_their_bytes() -> None:
    ready = StageQueue(100, most_bytes=3000)
    for name in "abcde":
        one = work(name)
        one.delivery = replace(one.delivery, payload=bytes(900))
        try:
            ready.put(one, 0.0)
        except queue.Full:
            break
    assert (len(ready), ready.bytes_held) == (3, 2700)
    ready.take(1, 0.0)
    assert ready.bytes_held == 1800


def test_an_image_larger_than_the_whole_queue_passes_alone() -> None:
    ready = StageQueue(100, most_bytes=10)
    one = work("a")
    one.delivery = replace(one.delivery, payload=bytes(900))
    ready.put(one, 0.0)
    with pytest.raises(queue.Full):
        ready.put(work("b"), 0.0)


def test_it_gives_as_many_as_are_asked_for_and_none_without_waiting() -> None:
    ready = StageQueue(100)
    for name in "abc":
        ready.put(work(name), 0.0)
    assert [one.identity.frame_id for one in ready.take(2, 0.0)] == ["a", "b"]
    assert [one.identity.frame_id for one in ready.take(2, 60.0)] == ["c"]
    assert (ready.take(2, 0.0), ready.bytes_held) == ([], 0)


@pytest.mark.parametrize(("capacity", "enough"), [(100, 3), (4, 2)])
def test_it_gathers_until_enough_are_there_or_it_is_half_full(capacity: int, enough: int) -> None:
    ready = StageQueue(capacity)
    gathered = threading.Event()

    def gather() -> None:
        ready.gather(3, 60.0)
        gathered.set()

    waiter = threading.Thread(target=gather)
    for number in range(enough - 1):
        ready.put(work(str(number)), 0.0)
    waiter.start()
    assert not gathered.wait(0.05)
    ready.put(work("last"), 0.0)
    assert gathered.wait(20.0)
    waiter.join()
    ready.gather(100, 0.0)  # and never longer than it may
