"""log_result: a recorded frame is one record in the log with its fields, and its times are measured."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Inspection, Timings
from agent.domain.verdict import Verdict
from agent.pipeline.recorder import log_result, measure
from agent.telemetry import BOUNDS_S, TOTAL, Measures
from tests.support.plant import Plant, frame

RECEIVED = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CAMERA = Camera("plant", "l1", "c1")


def inspection(verdict: Verdict, number: int = 1) -> Inspection:
    return Inspection(
        inspection_id=f"i-{number}",
        identity=FrameIdentity(CAMERA, f"f-{number}"),
        sku="A",
        verdict=verdict,
        reason="because",
        received_at=RECEIVED,
        inspected_at=RECEIVED,
        timings=Timings(queue=1.0, decode=2.0, infer=30.0, record=4.0),
    )


@pytest.mark.parametrize(
    ("verdict", "level"),
    [
        (Verdict.PASS, "DEBUG"),
        (Verdict.SKIPPED, "DEBUG"),
        (Verdict.FAIL, "INFO"),
        (Verdict.REVIEW, "INFO"),
        (Verdict.ERROR, "INFO"),
    ],
)
def test_one_record_for_each_verdict(verdict: Verdict, level: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "agent.pipeline"):
        log_result(inspection(verdict))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, f"{verdict}: because")
    fields = {name: getattr(record, name) for name in ("camera", "sku", "frame_id", "inspection_id")}
    assert fields == {"camera": "plant/l1/c1", "sku": "A", "frame_id": "f-1", "inspection_id": "i-1"}


def test_durations_by_stage_and_in_all() -> None:
    measures = Measures()
    for verdict in (Verdict.PASS, Verdict.ERROR):
        measure(inspection(verdict), 2.0, measures)
    found = measures.histograms()
    assert set(found) == {"queue", "decode", "infer", "record", TOTAL}
    assert found["infer"].total_s == pytest.approx(0.06)
    assert found[TOTAL].total_s == pytest.approx(4.0)
    assert found[TOTAL].counts[BOUNDS_S.index(2.5)] == 2


def test_a_skipped_frame_has_no_duration() -> None:
    measures = Measures()
    measure(inspection(Verdict.SKIPPED), 0.1, measures)
    assert measures.histograms() == {}


def test_a_pipeline_counts_measures_and_sees(plant: Plant) -> None:
    sent = [frame(seed) for seed in range(3)]
    plant.inspected(*sent, sent[0].again())
    measures = plant.measures
    assert plant.counters.get("frames_received") == 4
    assert measures.cameras()[str(sent[0].delivery.camera)].frames == 4
    assert sum(measures.histograms()["infer"].counts) == 3
    assert sum(measures.histograms()["commit"].counts) >= 1
