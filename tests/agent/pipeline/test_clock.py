"""A wall clock that jumps by a day in mid-stream: no verdict, no duration and no order hangs on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

import pytest

from agent.domain.camera_rules import CameraRules, Overload
from agent.monitors import sequence_gaps as numbers
from agent.pipeline import Supervision, camera_jobs, pipeline, recorder, router
from tests.support.factory import wait_until
from tests.support.loopback import Sent
from tests.support.plant import GatedFade, Plant, frame

Build = Callable[..., Plant]
DAY = timedelta(days=1)
HOUR_MS = 3_600_000.0


class Wall(datetime):
    """The wall clock of the pipeline's modules."""

    off = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.off


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[Wall]:
    monkeypatch.setattr(Wall, "off", timedelta(0))
    for module in (camera_jobs, numbers, pipeline, recorder, router):
        monkeypatch.setattr(module, "datetime", Wall)
    return Wall


def received(seed: int, wall: type[Wall]) -> Sent:
    """A frame with the time that the wall clock shows now."""
    sent = frame(seed)
    return Sent(
        replace(sent.delivery, received_at=sent.delivery.received_at + wall.off), sent.acknowledgement
    )


@pytest.mark.parametrize("jumps", [(DAY, -DAY), (-DAY, DAY), (-DAY, -DAY * 2), (DAY, DAY * 400)])
def test_a_jump_between_receipt_and_verdict_changes_nothing(
    build: Build, wall: type[Wall], jumps: tuple[timedelta, timedelta]
) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=2, rules=CameraRules(cycle_time_ms=HOUR_MS))
    first = [received(seed, wall) for seed in range(4)]
    plant.inspected(*first)
    expected = [row["score"] for row in plant.rows()]
    sent: list[Sent] = []
    for jump in jumps:
        method.gate.clear()
        sent += [received(seed + len(sent) + 100, wall) for seed in range(3)]
        plant.deliver(*sent[-3:])
        wall.off = jump
        method.gate.set()
        plant.acknowledged(*sent)
    rows = plant.rows()
    assert len(rows) == 10
    assert {row["verdict"] for row in rows} == {"REVIEW"}
    assert not any(row["late"] for row in rows)
    for row in rows:
        times = [row[name] for name in ("queue_ms", "decode_ms", "infer_ms", "record_ms")]
        assert all(0.0 <= one < HOUR_MS for one in times), row
    assert [row["score"] for row in rows[:4]] == expected
    assert plant.counters.get("stage_restarts") == 0
    assert not plant.pipeline.failed


@pytest.mark.slow
def test_a_late_verdict_is_late_although_the_clock_was_put_back(build: Build, wall: type[Wall]) -> None:
    method = GatedFade()
    plant = build(method=method, rules=CameraRules(cycle_time_ms=50.0))
    method.gate.clear()
    sent = received(1, wall)
    plant.deliver(sent)
    wall.off = -DAY

    def late_by_now() -> bool:
        busy_s = plant.pipeline.state().stages[1].busy_s
        return busy_s is not None and busy_s > 0.06

    wait_until(late_by_now, "fifty milliseconds")
    method.gate.set()
    plant.acknowledged(sent)
    assert plant.rows()[0]["late"]


@pytest.mark.slow
def test_a_jump_neither_hangs_a_stage_nor_drops_a_frame(build: Build, wall: type[Wall]) -> None:
    plant = build(
        named_rules={"y/z": CameraRules(overload=Overload.LATEST)},
        supervision=Supervision(hang_s=60.0),
    )
    for number in range(20):
        wall.off = DAY * (-1) ** number * number
        plant.inspected(received(number, wall))
    assert [row["frame_id"] for row in plant.rows()] == [f"f-{number}" for number in range(20)]
    assert not plant.pipeline.failed
