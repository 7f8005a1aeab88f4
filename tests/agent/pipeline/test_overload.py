"""Ten times too many frames, and a recorder that cannot write: what is held in memory has an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.domain.camera_rules import CameraRules, Overload
from agent.domain.frame import Delivery, DeliveryKind
from agent.pipeline.ingress_queue import Bounds
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.loopback import Sent, message
from tests.support.plant import FlakyHistory, GatedFade, Plant

Build = Callable[..., Plant]
PADDING = bytes(100_000)
BOUNDS = Bounds(waiting_bytes=2_000_000, queue_bytes=2_000_000, superseded=200, superseded_bytes=1_000_000)
MOST = 2_000_000 + 2 * 2_000_000 + 1_000_000 + 200_000
"""All bounds together, and the one frame that may be above each."""


def large(number: int, *, guaranteed: bool, image: bytes = encoded(part(1))) -> Sent:
    """A frame of 100 kB; what stands behind a PNG's end does not disturb its reader."""
    sent = message(DeliveryKind.FRAME, image + PADDING, sku="A", frame_id=f"f-{number}")
    return Sent(replace(sent.delivery, guaranteed=guaranteed), sent.acknowledgement)


def recorded(plant: Plant) -> int:
    """Frames with a row of their own, and those that a row sums up."""
    events = [event for event in plant.rooms.rows("event") if event["kind"] == "frames-unrecorded"]
    return len(plant.rows()) + sum(json.loads(event["details"])["frames"] for event in events)


@pytest.mark.parametrize("overload", list(Overload))
def test_frames_without_guarantee_never_fill_the_memory_and_all_are_recorded(
    build: Build, rooms: Rooms, overload: Overload
) -> None:
    history = FlakyHistory(rooms.database, agent_id="cell-7", agent_version="1")
    history.failures = 10**9
    plant = build(history=history, rules=CameraRules(overload=overload), bounds=BOUNDS, max_batch=2)
    highest = 0
    for number in range(1500):
        plant.deliver(large(number, guaranteed=False))
        highest = max(highest, plant.pipeline.bytes_held)
    assert highest <= MOST
    assert plant.counters.get("frames_unrecorded") > 500
    state = plant.pipeline.state()
    assert state.superseded <= BOUNDS.superseded * 2 + 1
    assert state.waiting <= 256
    history.failures = 0
    # A pipeline that ends waits for no storage: what was refused a moment before would be left undone.
    wait_until(plant.rows, "the first row")
    plant.pipeline.stop(30.0)
    assert recorded(plant) == 1500
    assert plant.counters.get("events_lost") == 0


def test_guaranteed_frames_that_are_replaced_are_kept_by_name_and_recorded(
    build: Build, rooms: Rooms
) -> None:
    history = FlakyHistory(rooms.database, agent_id="cell-7", agent_version="1")
    history.failures = 10**9
    plant = build(history=history, rules=CameraRules(overload=Overload.LATEST), bounds=BOUNDS)
    sent = [large(number, guaranteed=True) for number in range(64)]  # a window of them
    plant.deliver(*sent)
    wait_until(lambda: plant.counters.get("storage_retries") >= 3, "attempts")
    assert not any(one.acknowledged for one in sent)
    history.failures = 0
    plant.acknowledged(*sent)
    assert len(plant.rows()) == 64
    assert plant.counters.get("frames_unrecorded") == 0


@pytest.mark.slow
def test_a_connection_lost_again_and_again_while_storage_is_away_fills_nothing(
    build: Build, rooms: Rooms
) -> None:
    history = FlakyHistory(rooms.database, agent_id="cell-7", agent_version="1")
    history.failures = 10**9
    plant = build(history=history, max_batch=1, capacity=64)
    window = [large(number, guaranteed=True) for number in range(32)]
    gone: list[bool] = []
    held = []
    for connection in range(30):
        gone.append(False)
        latest = [_again(one, lambda c=connection: gone[c]) for one in window]  # type: ignore[misc]
        plant.deliver(*latest)
        held.append(plant.pipeline.bytes_held)
        gone[connection] = connection < 29
    assert max(held) <= 100 * len(window[0].delivery.payload)
    history.failures = 0
    plant.acknowledged(*latest)
    assert len(plant.rows()) == 32


def _again(one: Sent, stale: Callable[[], bool]) -> Sent:
    again = one.again()
    return Sent(replace(again.delivery, stale=stale), again.acknowledgement)


@pytest.mark.slow
def test_what_waits_in_a_full_pipeline_is_decoded_images_within_the_bound(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=8, bounds=replace(BOUNDS, queue_bytes=50_000))
    method.gate.clear()
    sent = [large(number, guaranteed=True) for number in range(40)]
    plant.deliver(*sent)
    wait_until(lambda: plant.pipeline.state().decoded >= 1, "an image that waits")
    payloads = sum(len(one.delivery.payload) for one in sent)
    assert plant.pipeline.bytes_held <= payloads + 250_000
    method.gate.set()
    plant.acknowledged(*sent)
    assert len(plant.rows()) == 40


def test_frames_that_came_before_others_never_overtake_them(build: Build) -> None:
    """Bounded queues keep the order of each camera."""
    plant = build(bounds=replace(BOUNDS, queue_bytes=1))
    sent = [large(number, guaranteed=True) for number in range(20)]
    rows = plant.inspected(*sent)
    assert [row["frame_id"] for row in rows] == [f"f-{number}" for number in range(20)]


def test_a_delivery_keeps_its_image_only_as_long_as_it_is_needed(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=1)
    method.gate.clear()
    one = large(1, guaranteed=True)
    plant.deliver(one)
    wait_until(lambda: method.scored, "the frame before the model")
    again: Delivery = one.again().delivery
    plant.pipeline.ingress.admit(again)
    wait_until(lambda: plant.counters.get("frames_repeated") == 1, "the repetition")
    assert plant.pipeline.bytes_held == 0
    method.gate.set()
    plant.acknowledged(one)
