"""Frames of a product whose recipe is being prepared wait in a place of their own; all others pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from agent.domain.camera_rules import CameraRules, Overload
from agent.domain.errors import RecipeError
from agent.domain.frame import Camera, DeliveryKind, Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.methods.fade import FadePrepared
from agent.methods.prepared import Groups
from agent.pipeline.ingress_queue import Bounds
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.loopback import message
from tests.support.plant import GatedFade, Plant, frame

Build = Callable[..., Plant]
NEW, OTHER = Camera("plant", "line-1", "new"), Camera("plant", "line-1", "other")


class SlowFade(GatedFade):
    """Prepares recipes with references only while ``may_prepare`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_prepare = threading.Event()
        self.preparing = threading.Event()
        self.prepared: list[str] = []
        self.refusal: Exception | None = None

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> FadePrepared:
        if references:
            self.preparing.set()
            assert self.may_prepare.wait(60.0)
            self.prepared.append(recipe.sku)
            if self.refusal is not None:
                raise self.refusal
        return super().prepare(recipe, references, groups)


@pytest.fixture
def method() -> SlowFade:
    return SlowFade()


@pytest.fixture
def enrolled(rooms: Rooms) -> Recipe:
    """A product whose recipe takes a while."""
    path = rooms.media.put(encoded(part(0)), ".png")
    reference = Reference(path[6:70], path, "part 0")
    return rooms.book.add(replace(template_recipe("SLOW", "fade"), references=(reference,)))


def verdicts(plant: Plant) -> dict[str, str]:
    return {name: row["verdict"] for name, row in plant.by_frame().items()}


def test_other_cameras_are_judged_while_a_product_is_prepared(
    build: Build, method: SlowFade, enrolled: Recipe
) -> None:
    plant = build(method=method)
    slow = [frame(seed, NEW, sku="SLOW") for seed in range(3)]
    plant.deliver(*slow)
    assert method.preparing.wait(20.0)
    wait_until(lambda: plant.pipeline.state().awaiting == 3, "frames that wait")
    others = [frame(seed, OTHER, sku="A") for seed in range(10, 30)]
    plant.inspected(*others)
    assert len(plant.rows()) == 20
    assert not any(one.acknowledged for one in slow), "their rows are still to be written"
    assert plant.pipeline.bytes_held >= 3 * part(0).nbytes
    method.may_prepare.set()
    plant.acknowledged(*slow)
    rows = plant.by_frame()
    assert [rows[f"f-{seed}"]["recipe_version"] for seed in range(3)] == [1, 1, 1]
    assert method.prepared == ["SLOW"], "once for all frames"
    assert {one.acknowledgement.count for one in [*slow, *others]} == {1}
    waited = [row["frame_id"] for row in plant.rows() if row["sku"] == "SLOW"]
    assert waited == ["f-0", "f-1", "f-2"], "in their order"


def test_of_a_camera_whose_newest_frame_counts_only_that_waits(
    build: Build, method: SlowFade, enrolled: Recipe
) -> None:
    plant = build(method=method, rules=CameraRules(overload=Overload.LATEST))
    first = frame(0, NEW, sku="SLOW")
    plant.deliver(first)
    wait_until(lambda: plant.pipeline.state().awaiting == 1, "the first frame")
    second = frame(1, NEW, sku="SLOW")
    plant.deliver(second)
    plant.acknowledged(first)
    assert verdicts(plant) == {"f-0": "SKIPPED"}
    another = frame(2, NEW, sku="A")  # the line has changed its product
    plant.inspected(another)
    plant.acknowledged(second)
    assert verdicts(plant) == {"f-0": "SKIPPED", "f-1": "SKIPPED", "f-2": "REVIEW"}
    assert plant.pipeline.state().awaiting == 0
    method.may_prepare.set()


def test_a_frame_that_waited_is_late(build: Build, method: SlowFade, enrolled: Recipe) -> None:
    plant = build(method=method, rules=CameraRules(cycle_time_ms=0.001))
    waiting = frame(0, NEW, sku="SLOW")
    plant.deliver(waiting)
    wait_until(lambda: plant.pipeline.state().awaiting == 1, "the frame")
    method.may_prepare.set()
    plant.acknowledged(waiting)
    assert plant.by_frame()["f-0"]["late"]


def test_the_place_is_bounded_and_nothing_is_lost(build: Build, method: SlowFade, enrolled: Recipe) -> None:
    plant = build(method=method, max_batch=2, bounds=Bounds(awaiting=4))
    sent = [frame(seed, NEW, sku="SLOW") for seed in range(20)]
    plant.deliver(*sent)
    wait_until(lambda: plant.pipeline.state().awaiting >= 4, "a full place")
    assert plant.pipeline.state().awaiting <= 4 + 1, "a batch may be above it"
    method.may_prepare.set()
    plant.acknowledged(*sent)
    assert [row["frame_id"] for row in plant.rows()] == [f"f-{seed}" for seed in range(20)]


def test_a_recipe_that_cannot_be_prepared_ends_its_frames_as_error(
    build: Build, method: SlowFade, enrolled: Recipe
) -> None:
    plant = build(method=method)
    waiting = [frame(seed, NEW, sku="SLOW") for seed in range(2)]
    plant.deliver(*waiting)
    wait_until(lambda: plant.pipeline.state().awaiting == 2, "frames that wait")
    method.refusal = RecipeError("a wrong parameter")
    method.may_prepare.set()
    plant.acknowledged(*waiting)
    assert verdicts(plant) == {"f-0": "ERROR", "f-1": "ERROR"}
    assert plant.by_frame()["f-0"]["reason"] == "the recipe cannot be used: a wrong parameter"
    assert method.prepared == ["SLOW"]


def test_an_error_that_nobody_foresaw_costs_its_own_frame_alone(
    build: Build, method: SlowFade, enrolled: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slip(recipe: Recipe) -> bool:
        raise LookupError("nobody foresaw this")

    plant = build(method=method)
    monkeypatch.setattr(plant.recipe_cache, "has_other_scorer", slip)
    plant.inspected(frame(0, NEW, sku="SLOW"), frame(1, OTHER, sku="A"))
    assert verdicts(plant) == {"f-0": "ERROR", "f-1": "REVIEW"}
    assert not plant.pipeline.failed


def test_the_end_finishes_frames_that_wait(build: Build, method: SlowFade, enrolled: Recipe) -> None:
    plant = build(method=method)
    waiting = frame(0, NEW, sku="SLOW")
    plant.deliver(waiting)
    wait_until(lambda: plant.pipeline.state().awaiting == 1, "the frame")
    stopping = threading.Thread(target=plant.pipeline.stop, args=(30.0,))
    stopping.start()
    wait_until(lambda: plant.pipeline.ingress.closed, "the end")
    method.may_prepare.set()
    stopping.join(30.0)
    assert waiting.acknowledged
    assert verdicts(plant) == {"f-0": "REVIEW"}


def test_an_end_that_cannot_wait_leaves_them_to_the_broker(
    build: Build, method: SlowFade, enrolled: Recipe
) -> None:
    plant = build(method=method)
    waiting = frame(0, NEW, sku="SLOW")
    plant.deliver(waiting)
    wait_until(lambda: plant.pipeline.state().awaiting == 1, "the frame")
    timer = threading.Timer(1.0, method.may_prepare.set)  # what is under way ends before the thread does
    timer.start()
    plant.pipeline.stop(0.0)
    timer.join()
    assert not waiting.acknowledged
    assert plant.counters.get("deliveries_left") == 1
    assert "deliveries-left" in plant.events()


def test_the_recipe_of_an_announced_job_is_prepared_before_its_first_frame(
    build: Build, method: SlowFade, enrolled: Recipe
) -> None:
    plant = build(method=method)
    job = message(DeliveryKind.JOB, b'{"sku": "SLOW"}', NEW)
    plant.deliver(job)
    assert method.preparing.wait(20.0)
    plant.acknowledged(job)
    method.may_prepare.set()
    wait_until(lambda: plant.recipe_cache.current("SLOW") is not None, "the recipe")
    plant.inspected(frame(0, NEW, sku=None))
    assert plant.by_frame()["f-0"]["recipe_version"] == 1
