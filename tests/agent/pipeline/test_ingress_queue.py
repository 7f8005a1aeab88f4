"""IngressQueue: order, bounds, `latest`, jobs out of turn."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.frame import Camera, Delivery, DeliveryKind
from agent.pipeline.ingress_queue import IngressQueue
from tests.support.loopback import CAMERA, message
from tests.support.parts import Superseding
from tests.support.parts import latest as rules_of

SIDE = Camera("plant", "line-1", "side")


def frame(name: str, camera: Camera = CAMERA) -> Delivery:
    return message(DeliveryKind.FRAME, name.encode(), camera).delivery


def job(name: str, camera: Camera = CAMERA) -> Delivery:
    return message(DeliveryKind.JOB, name.encode(), camera).delivery


class Held:
    """An ingress queue and what it replaced."""

    def __init__(self, capacity: int = 10, *latest: Camera, most_bytes: int = 10**9) -> None:
        self.superseding = Superseding()
        self.counters = self.superseding.counters
        self.ending = threading.Event()
        self.queue = IngressQueue(
            capacity,
            rules_of(*latest),
            self.superseding.frames,
            self.superseding.events,
            self.counters,
            self.ending,
            most_bytes=most_bytes,
        )

    @property
    def superseded(self) -> list[Delivery]:
        return self.superseding.deliveries()

    def admit(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            self.queue.admit(delivery)

    def taken(self) -> list[str]:
        found = []
        while (delivery := self.queue.take(0.0)) is not None:
            found.append(delivery.payload.decode())
        return found


def test_the_first_to_come_is_the_first_to_be_taken() -> None:
    held = Held()
    held.admit(frame("a"), job("j"), frame("b", SIDE), frame("c"))
    assert len(held.queue) == 4
    assert held.taken() == ["a", "j", "b", "c"]
    assert len(held.queue) == 0


def test_taking_waits_for_the_next() -> None:
    held = Held()
    taken: list[Delivery | None] = []
    taker = threading.Thread(target=lambda: taken.append(held.queue.take(20.0)))
    taker.start()
    held.admit(frame("a"))
    taker.join(20.0)
    assert [d.payload for d in taken if d is not None] == [b"a"]


def test_taking_from_an_empty_queue_ends_after_its_time() -> None:
    assert Held().queue.take(0.01) is None


def test_what_does_not_fit_is_left_to_the_broker_and_counted() -> None:
    held = Held(2)
    late = message(DeliveryKind.FRAME, b"c")
    held.admit(frame("a"), frame("b"), late.delivery)
    assert not late.acknowledged
    assert held.counters.get("deliveries_refused") == 1
    assert held.taken() == ["a", "b"]


def test_with_latest_only_the_newest_frame_of_that_camera_waits() -> None:
    held = Held(10, CAMERA)
    held.admit(frame("a"), frame("x", SIDE), frame("b"), frame("y", SIDE), job("j"), frame("c"))
    assert [d.payload for d in held.superseded] == [b"a", b"b"]
    assert held.taken() == ["x", "y", "j", "c"]
    assert not held.counters.snapshot()


def test_a_camera_that_is_fast_keeps_its_place_in_the_queue() -> None:
    """Else a backlog of others, longer than its cycle, would keep it from ever being judged."""
    held = Held(10, CAMERA)
    held.admit(*(frame(f"s{number}", SIDE) for number in range(4)), frame("0"))
    taken = []
    for number in range(1, 20):
        held.admit(frame(str(number)), frame(f"later{number}", SIDE))
        delivery = held.queue.take(0.0)
        assert delivery is not None
        taken.append(delivery.camera)
    assert CAMERA in taken


def test_a_newer_frame_does_not_overtake_the_job_of_its_camera() -> None:
    held = Held(10, CAMERA)
    held.admit(frame("a"), job("other", SIDE), frame("b"), frame("x", SIDE), job("j"), frame("c"))
    assert held.taken() == ["other", "x", "j", "c"]


def test_a_full_queue_still_replaces() -> None:
    held = Held(2, CAMERA)
    held.admit(frame("x", SIDE), frame("a"), frame("b"))
    assert [d.payload for d in held.superseded] == [b"a"]
    assert held.taken() == ["x", "b"]


@given(
    st.lists(st.tuples(st.sampled_from([CAMERA, SIDE]), st.sampled_from("fjt")), max_size=30),
    st.integers(1, 8),
)
def test_every_delivery_is_taken_superseded_or_refused(
    events: list[tuple[Camera, str]], capacity: int
) -> None:
    held = Held(capacity, SIDE)
    admitted = taken = 0
    for index, (camera, event) in enumerate(events):
        if event == "t":
            taken += held.queue.take(0.0) is not None
        else:
            held.admit(frame(str(index), camera) if event == "f" else job(str(index), camera))
            admitted += 1
        assert len(held.queue) <= capacity
    rest = held.taken()
    refused = held.counters.get("deliveries_refused")
    superseded = held.superseded
    assert taken + len(rest) + len(superseded) + refused == admitted
    assert all(d.camera == SIDE and d.kind is DeliveryKind.FRAME for d in superseded)
    for camera in (CAMERA, SIDE):
        of_camera = [name for name in rest if events[int(name)][0] == camera]
        assert of_camera == sorted(of_camera, key=int)


def test_a_closed_queue_admits_nothing_and_gives_what_it_has() -> None:
    held = Held()
    held.admit(frame("a"))
    held.queue.close()
    late = message(DeliveryKind.FRAME, b"b")
    held.admit(late.delivery)
    assert held.queue.closed
    assert held.taken() == ["a"]
    assert not late.acknowledged
    assert held.counters.get("deliveries_after_close") == 1


def test_nothing_is_admitted_once_the_pipeline_ends() -> None:
    held = Held()
    held.ending.set()
    held.admit(frame("a"))
    assert (len(held.queue), held.counters.get("deliveries_after_close")) == (0, 1)


def test_closing_wakes_who_waits() -> None:
    held = Held()
    taken: list[Delivery | None] = []
    taker = threading.Thread(target=lambda: taken.append(held.queue.take(20.0)))
    taker.start()
    held.queue.close()
    taker.join(5.0)
    assert taken == [None]


def test_the_job_of_a_camera_is_taken_out_of_turn() -> None:
    held = Held()
    held.admit(frame("a"), job("other", SIDE), job("first"), job("second"))
    found = held.queue.take_job_of(CAMERA, 0.0)
    assert found is not None
    assert found.payload == b"first"
    assert held.taken() == ["a", "other", "second"]


def test_a_job_that_comes_meanwhile_is_waited_for() -> None:
    held = Held()
    found: list[Delivery | None] = []
    taker = threading.Thread(target=lambda: found.append(held.queue.take_job_of(CAMERA, 20.0)))
    taker.start()
    held.admit(frame("a"), job("other", SIDE), job("mine"))
    taker.join(20.0)
    assert [d.payload for d in found if d is not None] == [b"mine"]


def test_a_job_that_never_comes_is_not_waited_for_for_ever() -> None:
    held = Held()
    held.admit(job("other", SIDE))
    assert held.queue.take_job_of(CAMERA, 0.01) is None
    held.queue.close()
    assert held.queue.take_job_of(CAMERA, 20.0) is None


def test_what_is_put_back_comes_next() -> None:
    held = Held()
    held.admit(frame("a"), job("j"))
    found = held.queue.take_job_of(CAMERA, 0.0)
    assert found is not None
    held.queue.put_back(found)
    assert held.taken() == ["j", "a"]


def test_what_nobody_delivers_again_is_bounded_by_its_bytes() -> None:
    outer = Held(1000, most_bytes=1000)
    queue = outer.queue
    for _ in range(50):
        queue.admit(frame("x" * 300))
    assert (len(queue), queue.bytes_held, outer.superseding.unrecorded) == (3, 900, 47)
    queue.take(0.0)
    queue.admit(frame("y" * 300))
    assert (len(queue), queue.bytes_held) == (3, 900)


def test_one_that_is_larger_than_the_queue_is_admitted_where_nothing_else_waits() -> None:
    queue = Held(10, most_bytes=10).queue
    queue.admit(frame("x" * 300))
    assert len(queue) == 1
    assert queue.take(0.0) is not None
    assert queue.bytes_held == 0


def test_a_connection_that_is_lost_again_and_again_does_not_fill_a_full_queue() -> None:
    """The pipeline stands still; each new connection brings its window of frames once more."""
    held, window = Held(8), 6
    gone: list[bool] = []
    for connection in range(20):
        gone.append(False)
        for index in range(window):
            stale = partial(gone.__getitem__, connection)
            delivery = replace(frame(f"{connection}-{index}"), guaranteed=True, stale=stale)
            held.admit(delivery)
        assert len(held.queue) <= 8 + window
        gone[connection] = connection < 19
    assert {f"19-{index}" for index in range(window)} <= set(held.taken())
    assert held.counters.get("deliveries_stale_dropped") > 80


def test_the_oldest_shows_how_far_the_queue_is_behind() -> None:
    held = Held()
    assert held.queue.oldest is None
    first = frame("a")
    held.admit(first, frame("b"))
    assert held.queue.oldest == first.arrived


def test_what_awaits_an_acknowledgement_is_admitted_although_the_queue_is_full() -> None:
    held = Held(1)
    guaranteed = replace(frame("b"), guaranteed=True)
    held.admit(frame("a"), guaranteed, frame("c"))
    assert held.taken() == ["a", "b"]
    assert held.counters.get("deliveries_refused") == 1


def test_the_frame_that_comes_next_is_known_if_it_is_sure_to_be_decoded() -> None:
    held = Held(10, SIDE)
    assert held.queue.upcoming() is None
    held.admit(frame("a"), frame("b"), job("j"), frame("s", SIDE))
    held.admit(replace(frame("r"), redelivered=True), replace(frame("t"), retained=True))
    found = []
    while held.queue.take(0.0) is not None:
        upcoming = held.queue.upcoming()
        found.append(None if upcoming is None else upcoming.payload)
    assert found == [b"b", None, None, None, None, None], "no job, none that may be replaced or have a row"
