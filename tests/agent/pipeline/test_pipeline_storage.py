"""Pipeline on a real database that is locked, read-only, full or gone in mid-stream: nothing is lost."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import event

from agent.domain.camera_rules import CameraRules, Overload
from agent.domain.frame import DeliveryKind
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part, spotted
from tests.support.loopback import Sent, message
from tests.support.plant import GatedFade, Plant, frame

Build = Callable[..., Plant]
Outage = Callable[[Rooms], AbstractContextManager[None]]


@contextmanager
def locked(rooms: Rooms) -> Iterator[None]:
    """Another process is in a long transaction."""
    other = sqlite3.connect(rooms.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def _with_pragma(rooms: Rooms, pragma: str) -> Iterator[None]:
    """All connections from now on have it; those there are, are closed once they are free."""

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(pragma)

    event.listen(rooms.database.engine, "connect", prepare)
    rooms.database.close()
    try:
        yield
    finally:
        event.remove(rooms.database.engine, "connect", prepare)
        rooms.database.close()


@contextmanager
def read_only(rooms: Rooms) -> Iterator[None]:
    """The file system was mounted anew without the right to write."""
    with _with_pragma(rooms, "PRAGMA query_only = ON"):
        yield


@contextmanager
def full(rooms: Rooms) -> Iterator[None]:
    """Not a page more fits on the disk."""
    with _with_pragma(rooms, "PRAGMA max_page_count = 1"):
        yield


@contextmanager
def gone(rooms: Rooms) -> Iterator[None]:
    """The disk with the database's folder is not there.

    The folder goes and comes back as a whole, in one step each: file by file, a connection that is made in
    between would see one without its log, and damage it.
    """
    aside = rooms.path.parent.with_name("aside")
    rooms.path.parent.rename(aside)
    rooms.database.close()
    try:
        yield
    finally:
        aside.rename(rooms.path.parent)
        rooms.database.close()


OUTAGES: list[Outage] = [locked, read_only, full, gone]


def stream(start: int) -> list[Sent]:
    """Frames of known and new products, with and without ids, and one that is none."""
    return [
        *(frame(seed) for seed in range(start, start + 5)),
        frame(start + 50, sku="never met before"),
        frame(7, named=False),
        frame(7, named=False),
        message(DeliveryKind.FRAME, b"no image", sku="A", frame_id=f"bad-{start}"),
        message(DeliveryKind.FRAME, encoded(spotted(start)), sku="A", frame_id=f"spot-{start}"),
        frame(start).again(),
    ]


def others() -> list[Sent]:
    """A job, a reference, feedback, and what cannot be understood: each writes to the database too."""
    return [
        message(DeliveryKind.JOB, json.dumps({"sku": "J", "name": "nut"}).encode()),
        message(DeliveryKind.REFERENCE, encoded(part(3)), sku="A", frame_id="good"),
        message(DeliveryKind.FEEDBACK, b'{"truth": "good", "frame_id": "f-0"}'),
        message(DeliveryKind.FEEDBACK, b"{"),
        message(DeliveryKind.COMMAND, b"{"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES, ids=["locked", "read-only", "full", "gone"])
@pytest.mark.parametrize("overload", [Overload.WAIT, Overload.LATEST])
def test_a_database_that_goes_away_in_mid_stream_costs_nothing(
    build: Build, rooms: Rooms, outage: Outage, overload: Overload
) -> None:
    plant = build(rules=CameraRules(overload=overload), max_batch=4)
    before = stream(0)
    plant.inspected(*before)
    there = len(plant.rows())
    assert there == 10
    with outage(rooms):
        during = [*stream(100), *others()]
        plant.deliver(*during)
        wait_until(lambda: plant.counters.get("storage_retries") >= 4, "attempts")
        assert plant.pipeline.state().storage_wait is not None
        assert outage is full or not any(one.acknowledged for one in during), "small rows may still fit"
    after = stream(200)
    plant.deliver(*after)
    plant.acknowledged(*during, *after)
    rows = plant.rows()
    assert len(rows) == 30
    assert len({row["frame_id"] for row in rows}) == 30
    assert {one.acknowledgement.count for one in (*before, *during, *after)} == {1}
    assert plant.counters.get("stage_restarts") == 0
    assert plant.pipeline.state().storage_wait is None
    assert [row["truth"] for row in plant.rooms.rows("feedback")] == ["good"]
    plant.pipeline.stop(20.0)
    verdicts = [json.loads(one.payload) for one in plant.transport.published if one.kind == "verdict"]
    judged = {row["frame_id"] for row in rows if row["verdict"] != "SKIPPED"}
    assert {one["frame_id"] for one in verdicts} == judged
    assert len(verdicts) == len(judged)


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES, ids=["locked", "read-only", "full", "gone"])
def test_a_stop_while_the_database_is_away_leaves_the_frames_to_the_broker(
    build: Build, rooms: Rooms, outage: Outage
) -> None:
    plant = build(max_batch=4)
    plant.inspected(frame(0))
    with outage(rooms):
        sent = [frame(seed) for seed in range(1, 40)]
        plant.deliver(*sent)
        wait_until(lambda: plant.counters.get("storage_retries") >= 2, "attempts")
        plant.pipeline.stop(20.0)
        assert plant.transport.final_status == "stopped"
        assert not plant.pipeline.stuck
    done = {one.delivery.properties["frame_id"] for one in sent if one.acknowledged}
    assert done == set(plant.by_frame()) - {"f-0"}
    assert outage is full or not done
    assert plant.counters.get("deliveries_left") > 0
    later = build()
    later.inspected(*(one.again() for one in sent))
    assert len(later.rows()) == 40


def test_a_stop_while_the_broker_is_away_ends_and_keeps_the_messages(build: Build, rooms: Rooms) -> None:
    plant = build()
    plant.transport.acknowledges = False
    sent = [frame(seed) for seed in range(8)]
    plant.inspected(*sent)
    plant.transport.lose_connection()
    plant.transport.stop(final_status="lost")
    plant.pipeline.stop(20.0)
    assert [one.message.kind for one in rooms.outbox.pending(99)].count("verdict") == 8
    assert not plant.pipeline.stuck


@pytest.mark.slow
def test_a_stop_with_a_full_pipeline_and_a_slow_model_ends_and_leaves_the_rest(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=1)
    method.gate.clear()
    sent = [frame(seed) for seed in range(60)]
    plant.deliver(*sent)
    wait_until(lambda: plant.pipeline.state().decoded == 2, "a full pipeline")
    stopping = threading.Thread(target=plant.pipeline.stop, args=(0.2,))
    stopping.start()
    stopping.join(60.0)
    assert not stopping.is_alive()
    assert plant.pipeline.stuck, "the model still has a frame"
    assert plant.counters.get("deliveries_left") >= 50
    (event_row,) = (row for row in plant.rooms.rows("event") if row["kind"] == "deliveries-left")
    assert event_row["severity"] == "warning"
    method.gate.set()
    later = build()
    later.inspected(*(one.again() for one in sent))
    assert len(later.rows()) == 60
