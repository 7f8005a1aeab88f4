"""Pipeline in trouble: storage that refuses, stages that die, stops, and everything at once."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable

import pytest

from agent.domain.frame import Camera
from agent.domain.recipe import template_recipe
from tests.support.factory import Rooms, wait_until
from tests.support.images import part
from tests.support.loopback import Sent
from tests.support.plant import FlakyHistory, FlakyMedia, GatedFade, Plant, frame

Build = Callable[..., Plant]


def flaky(rooms: Rooms, failures: int = 0) -> FlakyHistory:
    history = FlakyHistory(rooms.database, agent_id="cell-7", agent_version="1")
    history.failures = failures
    return history


# ------------------------------------------------------------------------------- storage that refuses


def test_while_the_database_is_locked_nothing_is_lost_or_acknowledged(plant: Plant, rooms: Rooms) -> None:
    plant.inspected(frame(0))
    lock = sqlite3.connect(rooms.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    sent = [frame(seed) for seed in range(1, 6)]
    plant.deliver(*sent)
    wait_until(lambda: plant.counters.get("storage_retries") >= 2, "attempts")
    assert not any(one.acknowledged for one in sent)
    lock.execute("ROLLBACK")
    lock.close()
    plant.acknowledged(*sent)
    assert len(plant.rows()) == 6
    assert {one.acknowledgement.count for one in sent} == {1}


@pytest.mark.slow
def test_a_transaction_that_fails_is_written_whole_later(build: Build, rooms: Rooms) -> None:
    history = flaky(rooms, 3)
    plant = build(history=history)
    sent = [frame(seed) for seed in range(8)]
    assert len(plant.inspected(*sent)) == 8
    assert history.failures == 0
    assert {one.acknowledgement.count for one in sent} == {1}
    assert plant.counters.get("storage_retries") >= 3


def test_a_media_folder_that_refuses_is_waited_for(build: Build, rooms: Rooms) -> None:
    media = FlakyMedia(rooms.folder / "media")
    media.failures = 3
    plant = build(media=media)
    sent = [frame(seed) for seed in range(4)]
    assert len(plant.inspected(*sent)) == 4


def test_stopping_while_storage_refuses_leaves_frames_to_the_broker(build: Build, rooms: Rooms) -> None:
    plant = build(history=flaky(rooms, 10**9))
    sent = [frame(seed) for seed in range(5)]
    plant.deliver(*sent)
    wait_until(lambda: plant.counters.get("storage_retries"), "an attempt")
    plant.pipeline.stop(10.0)
    assert not any(one.acknowledged for one in sent)
    assert plant.rows() == []
    later = build()
    again = [one.again() for one in sent]
    assert len(later.inspected(*again)) == 5


# --------------------------------------------------------------------------------------- the end


@pytest.mark.slow
def test_stopping_finishes_what_was_admitted(build: Build) -> None:
    plant = build()
    sent = [frame(seed) for seed in range(40)]
    plant.deliver(*sent)
    plant.pipeline.stop(30.0)
    assert len(plant.rows()) == 40
    assert all(one.acknowledged for one in sent)
    assert plant.rooms.outbox.depth() == 0
    assert [one.kind for one in plant.transport.published].count("verdict") == 40
    assert plant.transport.final_status == "stopped"
    assert not plant.pipeline.failed


def test_what_comes_after_the_end_has_begun_is_left_to_the_broker(build: Build) -> None:
    plant = build()
    plant.pipeline.ingress.close()
    late = frame(1)
    plant.deliver(late)
    plant.pipeline.stop(10.0)
    assert not late.acknowledged
    assert plant.rows() == []


def test_a_pipeline_that_could_not_be_started_can_be_stopped(rooms: Rooms) -> None:
    plant = Plant(rooms)
    plant.pipeline.stop(1.0)
    assert plant.transport.final_status == "stopped"


@pytest.mark.slow
@pytest.mark.parametrize(
    "failure", [RuntimeError("out of memory"), KeyError("nobody thought of this"), AssertionError()]
)
def test_a_model_that_fails_is_an_error_of_each_frame_and_the_pipeline_goes_on(
    build: Build, failure: Exception
) -> None:
    method = GatedFade()
    plant = build(method=method)
    method.failure = failure
    rows = plant.inspected(*(frame(seed) for seed in range(5)))
    assert {row["verdict"] for row in rows} == {"ERROR"}
    method.failure = None
    assert plant.inspected(frame(9))[-1]["verdict"] == "REVIEW"


# ------------------------------------------------------------------------------------ all at once


@pytest.mark.slow
def test_repetitions_refusals_and_four_cameras_at_once(build: Build, rooms: Rooms) -> None:
    """Each camera sends from a thread of its own and repeats some frames; the database refuses at times."""
    history = flaky(rooms)
    plant = build(history=history, max_batch=4)
    everything: list[Sent] = []
    lock = threading.Lock()

    def camera(number: int) -> None:
        choose = random.Random(number)
        name = Camera("plant", "line-1", f"cam-{number}")
        for seed in range(25):
            one = frame(seed, name, sku=choose.choice("AB"))
            batch = [one, *(one.again() for _ in range(choose.choice([0, 0, 1, 2])))]
            with lock:
                everything.extend(batch)
            if choose.random() < 0.2:
                history.failures = 2
            for copy in batch:
                plant.deliver(copy)

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    plant.acknowledged(*everything)
    rows = plant.rows()
    assert len(rows) == 100
    assert len({(row["camera"], row["frame_id"]) for row in rows}) == 100
    assert {one.acknowledgement.count for one in everything} == {1}
    assert plant.counters.get("deliveries_refused") == 0
    plant.pipeline.stop(30.0)
    assert sum(message.kind == "verdict" for message in plant.transport.published) == 100


def test_the_threads_of_a_pipeline_have_names(plant: Plant) -> None:
    names = {thread.name for thread in threading.enumerate()}
    assert {"decode", "inspect", "record", "publish-mqtt"} <= names


@pytest.mark.parametrize("max_batch", [1, 8])
def test_the_size_of_batches_changes_no_verdict(build: Build, max_batch: int) -> None:
    plant = build(max_batch=max_batch)
    rows = plant.inspected(*(frame(seed) for seed in range(9)))
    single = plant.inspector.method.prepare(template_recipe("A", "fade"), ())
    for row in rows:
        seed = int(row["frame_id"].removeprefix("f-"))
        expected = plant.inspector.score([part(seed)], [single])[0].score
        assert row["score"] == pytest.approx(expected, abs=1e-5)


def test_the_status_is_published_whatever_closing_raises(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.inspected(frame(1))

    def broken() -> None:
        plant.onboarding.close()
        raise RuntimeError("the executor is gone")

    monkeypatch.setattr(plant.pipeline, "_close_recipes", broken)
    with pytest.raises(RuntimeError, match="executor"):
        plant.pipeline.stop()
    assert plant.transport.final_status == "stopped"
