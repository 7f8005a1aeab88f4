"""Measures: durations fall into classes, and cameras stay bounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.frame import Camera, FrameIdentity
from agent.telemetry import BOUNDS_S, CAMERAS, OTHERS, Measures, about

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@given(st.lists(st.floats(-10.0, 1000.0), min_size=1))
def test_every_duration_is_in_the_class_of_the_first_bound_that_is_not_below_it(seconds: list[float]) -> None:
    measures = Measures()
    for one in seconds:
        measures.observe("infer", one)
    found = measures.histograms()["infer"]
    for bound, upto in zip(BOUNDS_S, range(1, len(BOUNDS_S) + 1), strict=True):
        assert sum(found.counts[:upto]) == sum(one <= bound for one in seconds)
    assert sum(found.counts) == len(seconds)
    assert found.total_s == pytest.approx(sum(max(0.0, one) for one in seconds))


def test_threads_lose_nothing() -> None:
    measures = Measures()

    def observe() -> None:
        for _ in range(500):
            measures.observe("record", 0.002)
            measures.seen("a/b/c", NOW)

    threads = [Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(measures.histograms()["record"].counts) == 2000
    assert measures.cameras()["a/b/c"].frames == 2000


def test_invented_cameras_are_counted_together() -> None:
    measures = Measures()
    for number in range(CAMERAS + 50):
        measures.seen(f"site/line/{number}", NOW + timedelta(seconds=number))
    measures.seen("site/line/7", NOW)
    cameras = measures.cameras()
    assert len(cameras) == CAMERAS + 1
    assert cameras["site/line/7"].frames == 2
    assert cameras[OTHERS].frames == 50
    assert cameras[OTHERS].last == NOW + timedelta(seconds=CAMERAS + 49)


def test_a_log_record_carries_what_is_known() -> None:
    camera = Camera("plant", "l1", "c1")
    assert about(camera) == {"camera": "plant/l1/c1"}
    identity = FrameIdentity(camera, "f-1", sku="A")
    assert about(identity) == {"camera": "plant/l1/c1", "sku": "A", "frame_id": "f-1"}
    assert about(identity, sku="B", inspection_id="i")["sku"] == "B"
    assert about(identity, inspection_id="i")["inspection_id"] == "i"
