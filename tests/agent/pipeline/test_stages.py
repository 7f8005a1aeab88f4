"""The inspect stage: micro-batches, and frames brought together with their recipes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from agent.domain.camera_rules import CameraRulebook
from agent.domain.errors import ModelError, RecipeError, StorageError
from agent.domain.frame import DeliveryKind, Frame, FrameIdentity, Image
from agent.domain.regions import EVERYWHERE, Regions
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade
from agent.methods.prepared import Prepared, Scored
from agent.pipeline.awaiting_recipes import AwaitingRecipes
from agent.pipeline.stage_queue import StageOutput, StageQueue
from agent.pipeline.stages import Batcher, InspectStage, StageEnd
from agent.pipeline.work_item import WorkItem
from agent.pipeline.worker import Pace, StageThread
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms
from tests.support.images import part
from tests.support.loopback import CAMERA, message
from tests.support.parts import Superseding


def work(number: int, sku: str | None = "A") -> WorkItem:
    delivery = message(DeliveryKind.FRAME, b"").delivery
    identity = FrameIdentity(CAMERA, str(number), sku=sku)
    frame = Frame(identity, part(number), b"", "image/png", delivery.received_at)
    return WorkItem(delivery, identity, frame=frame, sku=sku)


# --------------------------------------------------------------------------------------- batches


def filled(count: int) -> StageQueue:
    source = StageQueue(100)
    for number in range(count):
        source.put(work(number), 0.0)
    return source


def ids(batch: Sequence[WorkItem]) -> list[str]:
    return [one.identity.frame_id for one in batch]


def test_a_batch_takes_what_waits_in_order_up_to_its_size() -> None:
    batcher = Batcher(filled(5), 3, 0.0, 0.0)
    assert ids(batcher.take()) == ["0", "1", "2"]
    assert ids(batcher.take()) == ["3", "4"]
    assert batcher.take() == []


def test_a_batch_waits_for_more_and_goes_as_soon_as_it_is_full() -> None:
    source = filled(1)
    batcher = Batcher(source, 3, 60_000.0, 1.0)
    taken: list[list[str]] = []
    taker = threading.Thread(target=lambda: taken.append(ids(batcher.take())))
    taker.start()
    source.put(work(1), 0.0)
    source.put(work(2), 0.0)
    taker.join(20.0)
    assert taken == [["0", "1", "2"]]


def test_a_batch_goes_with_what_it_has_when_the_time_is_up() -> None:
    assert ids(Batcher(filled(2), 8, 1.0, 0.0).take()) == ["0", "1"]


# --------------------------------------------------------------------------------------- judging


class BatchesFade(Fade):
    def __init__(self) -> None:
        super().__init__(ColourEncoder(), defaults=PARAMETERS)
        self.batches: list[list[str]] = []

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        self.batches.append([one.recipe.sku for one in prepared])
        return super().score(images, prepared)


class FailingCache(RecipeCache):
    """Raises for the SKUs that a test names."""

    failures: dict[str, list[Exception]]
    asked: list[str]

    def current(self, sku: str, regions: Regions = EVERYWHERE) -> Prepared | None:
        self.asked.append(sku)
        if self.failures.get(sku):
            raise self.failures[sku].pop(0)
        return super().current(sku, regions)


class Bench:
    """An inspect stage and what comes out of it."""

    def __init__(self, rooms: Rooms, *, ending: bool = False) -> None:
        self.method = BatchesFade()
        inspector = Inspector(self.method)
        self.cache = FailingCache(rooms.book, inspector, rooms.media, rooms.codec, method="fade")
        self.cache.failures, self.cache.asked = {}, []
        self.counters, end, pace = Counters(), threading.Event(), Pace(storage_retry_s=0.01)
        if ending:
            end.set()
        thread, consumer = (StageThread(name, end, self.counters, pace) for name in ("inspect", "record"))
        self.out = StageQueue(100)
        output = StageOutput(thread, self.out, consumer, threading.Event(), self.counters)
        batcher = Batcher(StageQueue(100), 8, 0.0, 0.0)
        rules, superseding = CameraRulebook(), Superseding()
        awaiting = AwaitingRecipes(self.cache, rules, superseding.frames)
        self.stage = InspectStage(
            thread, batcher, self.cache, inspector, output, awaiting, StageEnd(end, threading.Event())
        )

    def inspect(self, batch: Sequence[WorkItem]) -> bool:
        """Whether all of it went on to the next stage."""
        before = len(self.out)
        self.stage.work(batch)
        return len(self.out) == before + len(batch)


def verdicts(batch: Sequence[WorkItem]) -> list[str]:
    return [one.result.verdict if one.result is not None else "none" for one in batch]


def test_frames_of_all_skus_share_one_pass(rooms: Rooms) -> None:
    bench = Bench(rooms)
    batch = [work(1, "A"), work(2, "B"), work(3, "A")]
    assert bench.inspect(batch)
    assert bench.method.batches == [["A", "B", "A"]]
    assert verdicts(batch) == ["REVIEW"] * 3
    assert bench.cache.asked == ["A", "B"], "once for a batch"
    assert [one.prepared.recipe.sku for one in batch if one.prepared] == ["A", "B", "A"]


def test_what_failed_before_is_left_alone(rooms: Rooms) -> None:
    bench = Bench(rooms)
    batch = [work(1), work(2).fail("unreadable"), work(3, None).skip(), work(4)]
    assert bench.inspect(batch)
    assert verdicts(batch) == ["REVIEW", "ERROR", "SKIPPED", "REVIEW"]
    assert bench.method.batches == [["A", "A"]]
    assert bench.inspect([work(5).fail("unreadable")])


@pytest.mark.parametrize(
    "failure",
    [
        RecipeError("wrong parameter"),
        ModelError("no kernel"),
        RuntimeError("out of memory"),
        ValueError("nan"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_an_error_of_its_own_frames(rooms: Rooms, failure: Exception) -> None:
    bench = Bench(rooms)
    bench.cache.failures = {"B": [failure]}
    batch = [work(1, "A"), work(2, "B"), work(3, "B"), work(4, "A")]
    assert bench.inspect(batch)
    assert verdicts(batch) == ["REVIEW", "ERROR", "ERROR", "REVIEW"]
    result = batch[1].result
    assert result is not None
    assert result.reason == f"the recipe cannot be used: {failure}"


def test_a_database_that_is_away_is_waited_for(rooms: Rooms) -> None:
    bench = Bench(rooms)
    bench.cache.failures = {"A": [StorageError("away"), StorageError("away")]}
    batch = [work(1, "A")]
    assert bench.inspect(batch)
    assert verdicts(batch) == ["REVIEW"]
    assert bench.counters.get("storage_retries") == 2


def test_if_the_pipeline_ends_meanwhile_nothing_is_inspected(rooms: Rooms) -> None:
    bench = Bench(rooms, ending=True)
    bench.cache.failures = {"B": [StorageError("away")]}
    batch = [work(1, "A"), work(2, "B")]
    assert not bench.inspect(batch)
    assert verdicts(batch) == ["none", "none"]
