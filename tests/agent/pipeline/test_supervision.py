"""Stages that die are started again; what no stage survives ends as a row; what hangs ends the pipeline."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from adapters.images.decoder import PayloadDecoder
from agent.domain.errors import StorageError
from agent.domain.frame import Delivery, DeliveryKind, Frame
from agent.domain.regions import Regions
from agent.pipeline import Supervision
from agent.ports import Entry, OutboxMessage
from storage import SqlHistory
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.loopback import Sent, message
from tests.support.plant import QUICK, FlakyHistory, GatedFade, Plant, frame

Build = Callable[..., Plant]


class SlipError(Exception):
    """Something that nobody foresaw."""


class SlippingHistory(SqlHistory):
    """Slips so many times, or whenever an entry of a certain frame is to be written."""

    slips = 0
    poison: str | None = None
    poisoned_entries: Callable[[Entry], bool] = staticmethod(lambda entry: True)
    error: BaseException = SlipError("in the database layer")

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        poisoned = [one for one in entries if one.inspection.identity.frame_id == self.poison]
        if self.slips or any(map(self.poisoned_entries, poisoned)):
            self.slips = max(0, self.slips - 1)
            raise self.error
        return super().record(entries)


class SlippingDecoder(PayloadDecoder):
    """Slips on one frame id, or so many times."""

    poison: str | None = None
    slips = 0
    identifies = True

    def identify(self, delivery: Delivery) -> Any:
        if not self.identifies:
            raise SlipError("while identifying")
        return super().identify(delivery)

    def decode(self, delivery: Delivery) -> Frame:
        if self.slips or delivery.properties.get("frame_id") == self.poison:
            self.slips = max(0, self.slips - 1)
            raise SlipError("while decoding")
        return super().decode(delivery)


@pytest.fixture
def build(build: Build) -> Build:
    """Without delays before restarts, and with a quick end."""
    pace = replace(QUICK, abandon_s=0.1, close_s=0.2)
    return partial(build, pace=pace, supervision=supervision())


def supervision(**options: Any) -> Supervision:
    return Supervision(**{"first_delay_s": 0.001, "look_s": 0.02, **options})


def slipping(rooms: Rooms) -> SlippingHistory:
    return SlippingHistory(rooms.database, agent_id="cell-7", agent_version="1")


def verdicts(plant: Plant) -> dict[str, str]:
    return {name: row["verdict"] for name, row in plant.by_frame().items()}


def reported(plant: Plant, kind: str) -> list[dict[str, Any]]:
    return [dict(event) for event in plant.rooms.rows("event") if event["kind"] == kind]


# ---------------------------------------------------------------------------------------- once only


@pytest.mark.parametrize(
    "error", [SlipError("once"), SystemExit(), MemoryError()], ids=lambda e: type(e).__name__
)
def test_a_recorder_that_dies_is_started_again_and_every_frame_is_judged(
    build: Build, rooms: Rooms, error: BaseException
) -> None:
    history = slipping(rooms)
    history.slips, history.error = 1, error
    plant = build(history=history)
    sent = [frame(seed) for seed in range(12)]
    plant.inspected(*sent)
    assert set(verdicts(plant).values()) == {"REVIEW"}
    assert len(plant.rows()) == 12
    assert {one.acknowledgement.count for one in sent} == {1}
    assert plant.counters.get("stage_restarts") == 1
    wait_until(lambda: reported(plant, "stage-restarted"), "the event")
    (event,) = reported(plant, "stage-restarted")
    assert (event["severity"], event["camera"]) == ("error", "plant/line-1/top")
    assert "record stage" in event["message"]
    assert type(error).__name__ in event["message"]
    wait_until(lambda: "plant/line-1/top/alert" in plant.transport.topics(), "the alert")
    states = {stage.name: stage for stage in plant.pipeline.state().stages}
    assert (states["record"].restarts, states["record"].alive) == (1, True)


def test_a_decoder_thread_that_dies_is_started_again(build: Build) -> None:
    decoder = SlippingDecoder()
    decoder.slips = 1
    plant = build(decoder=decoder)
    plant.inspected(*(frame(seed) for seed in range(3)))
    assert set(verdicts(plant).values()) == {"REVIEW"}
    assert plant.counters.get("stage_restarts") == 1


def test_a_stage_that_dies_while_the_pipeline_ends_finishes_its_work(build: Build, rooms: Rooms) -> None:
    history, method = slipping(rooms), GatedFade()
    plant = build(history=history, method=method)
    method.gate.clear()
    sent = [frame(seed) for seed in range(10)]
    plant.deliver(*sent)
    history.slips = 1
    stopping = threading.Thread(target=plant.pipeline.stop, args=(20.0,))
    stopping.start()
    method.gate.set()
    stopping.join(40.0)
    assert len(plant.rows()) == 10
    assert all(one.acknowledged for one in sent)
    assert plant.transport.final_status == "stopped"


# ------------------------------------------------------------------------------------------ poison


def test_a_frame_that_no_recorder_survives_ends_as_error_without_its_image(
    build: Build, rooms: Rooms
) -> None:
    history = slipping(rooms)
    history.poison = "f-3"
    history.poisoned_entries = lambda entry: entry.inspection.media.image is not None
    plant = build(history=history)
    plant.inspected(*(frame(seed) for seed in range(8)))
    found = verdicts(plant)
    assert found.pop("f-3") == "ERROR"
    assert set(found.values()) == {"REVIEW"}
    assert len(found) == 7
    assert "record stage of the agent died of this twice" in plant.by_frame()["f-3"]["reason"]
    assert not plant.pipeline.failed
    wait_until(lambda: plant.rooms.outbox.depth() == 0, "the messages")
    verdict_topics = [m for m in plant.transport.published if m.kind == "verdict"]
    assert len(verdict_topics) == 8, "its verdict is sent as well"


def test_a_frame_whose_messages_nobody_survives_gets_its_bare_row(build: Build, rooms: Rooms) -> None:
    history = slipping(rooms)
    history.poison = "f-1"
    history.poisoned_entries = lambda entry: bool(entry.messages)
    plant = build(history=history)
    plant.inspected(*(frame(seed) for seed in range(3)))
    assert verdicts(plant) == {"f-0": "REVIEW", "f-1": "ERROR", "f-2": "REVIEW"}
    assert not plant.pipeline.failed


@pytest.mark.parametrize("identifies", [True, False])
def test_a_frame_that_no_decoder_survives_ends_as_error(build: Build, identifies: bool) -> None:
    decoder = SlippingDecoder()
    decoder.poison, decoder.identifies = "f-1", identifies
    plant = build(decoder=decoder)
    sent = [frame(seed) for seed in range(4)]
    plant.inspected(*sent)
    rows = plant.by_frame()
    assert len(rows) == 4
    (poisoned,) = (row for row in rows.values() if row["verdict"] == "ERROR")
    assert (poisoned["frame_id"] == "f-1") is identifies
    assert "decode stage" in poisoned["reason"]
    assert plant.counters.get("stage_restarts") == 2
    # The broker delivers it again: its row is there.
    assert len(plant.inspected(sent[1].again())) == 4 or not identifies


def test_a_frame_that_no_inspector_survives_ends_as_error(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = build(max_batch=4)
    original = plant.recipe_cache.current

    def current(sku: str, regions: Regions) -> Any:
        if sku == "poison":
            raise SlipError("while looking for the recipe")
        return original(sku, regions)

    monkeypatch.setattr(plant.recipe_cache, "current", current)
    sent = [frame(seed, sku="poison" if seed == 5 else "A") for seed in range(8)]
    plant.inspected(*sent)
    found = verdicts(plant)
    assert found.pop("f-5") == "ERROR"
    assert set(found.values()) == {"REVIEW"}
    assert {one.acknowledgement.count for one in sent} == {1}


def test_a_message_that_no_decoder_survives_ends_as_an_event(build: Build) -> None:
    decoder = SlippingDecoder()
    decoder.poison = "odd"
    plant = build(decoder=decoder)
    odd = message(DeliveryKind.REFERENCE, encoded(part(1)), sku="A", frame_id="odd")
    plant.inspected(odd, frame(1))
    (event,) = reported(plant, "bad-reference")
    assert event["severity"] == "error"
    assert "died of this twice" in event["message"]


def test_a_message_that_the_client_dies_of_lets_the_others_pass(build: Build) -> None:
    plant = build()

    def refuse(message: OutboxMessage) -> Exception | None:
        return SlipError("while sending") if b'"f-1"' in message.payload else None

    plant.transport.refuse = refuse
    plant.inspected(*(frame(seed) for seed in range(3)))
    wait_until(lambda: plant.rooms.outbox.depth() == 0, "the others")
    sent = [json.loads(one.payload) for one in plant.transport.published if one.kind == "verdict"]
    assert sorted(one["frame_id"] for one in sent) == ["f-0", "f-2"]
    assert "undeliverable" in plant.events()
    assert not plant.pipeline.failed


# -------------------------------------------------------------------------------------- the budget


@pytest.mark.slow
def test_where_the_budget_is_spent_the_pipeline_ends_and_loses_nothing(build: Build, rooms: Rooms) -> None:
    history = slipping(rooms)
    history.slips = 10**9
    plant = build(history=history, supervision=supervision(restarts=3))
    sent = [frame(seed) for seed in range(10)]
    plant.deliver(*sent)
    assert plant.pipeline.wait(20.0)
    plant.pipeline.stop(5.0)
    assert plant.transport.final_status == "offline"
    assert plant.counters.get("stage_restarts") == 3
    assert not any(one.acknowledged for one in sent)
    assert plant.rows() == []
    later = build()
    assert len(later.inspected(*(one.again() for one in sent))) == 10


def test_the_poison_has_its_row_before_a_spent_budget_ends_the_agent(build: Build) -> None:
    decoder = SlippingDecoder()
    decoder.poison = "f-2"
    plant = build(decoder=decoder, supervision=supervision(restarts=1))
    sent = [frame(seed) for seed in range(4)]
    plant.deliver(*sent)
    assert plant.pipeline.wait(20.0)
    plant.pipeline.stop(20.0)
    assert plant.transport.final_status == "offline"
    assert verdicts(plant)["f-2"] == "ERROR"
    assert sent[2].acknowledged
    later = build(decoder=decoder)
    later.inspected(*(one.again() for one in sent))
    assert len(later.rows()) == 4
    assert later.counters.get("stage_restarts") == 0
    assert not later.pipeline.failed


@pytest.mark.slow
def test_a_lost_device_ends_the_agent_and_few_frames_end_with_it(build: Build) -> None:
    """Every pass fails until the process is started anew; then all frames that are left are judged."""
    method = GatedFade()
    plant = build(method=method, max_batch=8)
    plant.inspected(frame(0))
    method.failure = RuntimeError("CUDA error: an illegal memory access was encountered")
    sent = [frame(seed) for seed in range(1, 31)]
    plant.deliver(*sent)
    assert plant.pipeline.wait(20.0)
    plant.pipeline.stop(20.0)
    assert plant.transport.final_status == "offline"
    rows = plant.by_frame()
    errors = {name for name, row in rows.items() if row["verdict"] == "ERROR"}
    assert len(rows) == 1 + len(errors)
    assert 1 <= len(errors) <= 6
    later = build()
    later.inspected(*(one.again() for one in sent))
    assert len(later.rows()) == 31
    assert {name for name, row in later.by_frame().items() if row["verdict"] == "ERROR"} == errors


def test_a_supervision_without_any_restart_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one restart"):
        Supervision(restarts=0)


# ----------------------------------------------------------------------------------------- hanging


def test_a_stage_that_hangs_ends_the_pipeline_and_its_frames_do_not_come_again(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=2, supervision=supervision(hang_s=0.3))
    method.gate.clear()
    sent = [frame(seed) for seed in range(6)]
    plant.deliver(*sent)
    assert plant.pipeline.wait(20.0)
    wait_until(lambda: len(plant.rows()) >= 1, "the rows of what hangs")
    plant.pipeline.stop(2.0)
    assert plant.transport.final_status == "offline"
    assert plant.pipeline.stuck
    rows = plant.by_frame()
    assert {row["verdict"] for row in rows.values()} == {"ERROR"}
    assert all("inspect stage" in row["reason"] for row in rows.values())
    acknowledged = {one.delivery.properties["frame_id"] for one in sent if one.acknowledged}
    assert acknowledged == set(rows)
    method.gate.set()
    later = build()
    later.inspected(*(one.again() for one in sent))
    assert len(later.rows()) == 6


@pytest.mark.slow
def test_waiting_for_storage_is_not_hanging(build: Build, rooms: Rooms) -> None:
    history = FlakyHistory(rooms.database, agent_id="cell-7", agent_version="1")
    history.failures = 10**9
    plant = build(history=history, supervision=supervision(hang_s=1.0))
    sent = [frame(seed) for seed in range(4)]
    plant.deliver(*sent)
    wait_until(lambda: plant.counters.get("storage_retries") >= 75, "attempts of 20 ms each")
    assert not plant.pipeline.failed
    state = plant.pipeline.state()
    assert state.storage_wait == "the disk is full"
    assert state.in_flight > 0
    history.failures = 0
    plant.acknowledged(*sent)
    assert plant.pipeline.state().storage_wait is None


# ------------------------------------------------------------------------------------------- state


def test_the_state_shows_what_is_where(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=1)
    before = plant.pipeline.state()
    assert [stage.name for stage in before.stages] == ["decode", "inspect", "record", "publish-mqtt"]
    assert all(stage.alive for stage in before.stages)
    assert (before.waiting, before.oldest_wait_s, before.in_flight, before.failed) == (0, None, 0, False)
    method.gate.clear()
    sent = [frame(seed) for seed in range(20)]
    plant.deliver(*sent)

    def full() -> bool:
        state = plant.pipeline.state()
        (inspect,) = (stage for stage in state.stages if stage.name == "inspect")
        return state.decoded == 2 and state.waiting > 0 and inspect.busy_s is not None

    wait_until(full, "a pipeline that is full")
    state = plant.pipeline.state()
    assert state.oldest_wait_s is not None
    assert state.oldest_wait_s > 0.0
    assert 0 < state.in_flight < 20
    method.gate.set()
    plant.acknowledged(*sent)
    plant.pipeline.stop(10.0)
    after = plant.pipeline.state()
    assert not any(stage.alive for stage in after.stages)
    assert (after.waiting, after.in_flight) == (0, 0)


def test_the_state_is_returned_while_the_database_does_not_answer(build: Build, rooms: Rooms) -> None:
    """Frames without ids are numbered under a lock while the database is asked."""
    asked, answer = threading.Event(), threading.Event()

    class Slow(SqlHistory):
        def occurrences(self, identity: Any) -> int:
            asked.set()
            answer.wait(20.0)
            raise StorageError("too late") if not answer.is_set() else StorageError("again")

    plant = build(history=Slow(rooms.database, agent_id="cell-7", agent_version="1"))
    one: Sent = frame(1, named=False)
    plant.deliver(one)
    assert asked.wait(20.0)
    assert plant.pipeline.state().in_flight == 0
    answer.set()
