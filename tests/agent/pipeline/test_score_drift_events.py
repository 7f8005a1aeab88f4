"""Scores that drift are reported once, by camera and product, in the history and as an alert."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.calibration import Calibration
from agent.domain.camera_rules import CameraRules
from agent.domain.frame import Image
from agent.domain.recipe import template_recipe
from agent.methods.fade import Fade
from agent.methods.prepared import Prepared, Scored
from agent.monitors.score_drift import DriftPolicy
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, wait_until
from tests.support.plant import Plant, frame

Build = Callable[..., Plant]
USUAL = Calibration(
    2.0, 1.9, 20, 0.01, "twenty good parts", map_threshold=5.0, log_mean=0.0, log_deviation=0.1
)
QUICK = DriftPolicy(frames_between_false_reports=1000, minimum_frames=3, baseline_frames=20)


class Level(Fade):
    """Scores every frame with what the test sets."""

    level = 1.0

    def __init__(self) -> None:
        super().__init__(ColourEncoder(), defaults=PARAMETERS)

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        return [replace(one, score=self.level) for one in super().score(images, prepared)]


def calibrated(rooms: Rooms) -> None:
    rooms.book.add(replace(template_recipe("A", "fade"), calibration=USUAL))


def drift_events(plant: Plant) -> list[dict[str, Any]]:
    return [dict(event) for event in plant.rooms.rows("event") if event["kind"].startswith("drift")]


def alerts(plant: Plant) -> list[dict[str, Any]]:
    sent = [json.loads(one.payload) for one in plant.transport.published if one.kind == "alert"]
    return [alert for alert in sent if alert["kind"].startswith("drift")]


def test_drift_is_reported_once_and_again_when_it_is_over(build: Build, rooms: Rooms) -> None:
    calibrated(rooms)
    method = Level()
    plant = build(method=method, drift=QUICK)
    plant.inspected(*(frame(seed) for seed in range(10)))
    assert drift_events(plant) == []
    method.level = 1.3
    plant.inspected(*(frame(seed) for seed in range(10, 40)))
    wait_until(lambda: alerts(plant), "the alert")
    (event,), (alert,) = drift_events(plant), alerts(plant)
    assert (event["kind"], event["camera"], event["sku"]) == ("drift", "plant/line-1/top", "A")
    assert alert["kind"] == "drift"
    assert alert["camera"] == event["camera"]
    assert "plant/line-1/top" in alert["reason"]
    assert event["message"] == alert["reason"]
    method.level = 1.0
    plant.inspected(*(frame(seed) for seed in range(40, 90)))
    wait_until(lambda: len(alerts(plant)) == 2, "the second alert")
    assert [one["kind"] for one in drift_events(plant)] == ["drift", "drift-over"]


def test_a_camera_in_shadow_mode_alarms_nobody(build: Build, rooms: Rooms) -> None:
    calibrated(rooms)
    method = Level()
    plant = build(method=method, drift=QUICK, rules=CameraRules(shadow=True))
    method.level = 1.3
    plant.inspected(*(frame(seed) for seed in range(40)))
    wait_until(lambda: drift_events(plant), "the event")
    assert alerts(plant) == []


@pytest.mark.slow
def test_a_recipe_without_a_threshold_cannot_drift(build: Build, rooms: Rooms) -> None:
    rooms.book.add(template_recipe("A", "fade"))
    method = Level()
    plant = build(method=method, drift=QUICK)
    plant.inspected(*(frame(seed) for seed in range(20)))
    method.level = 50.0
    plant.inspected(*(frame(seed) for seed in range(20, 60)))
    assert drift_events(plant) == []


def test_drift_may_be_switched_off(build: Build, rooms: Rooms) -> None:
    calibrated(rooms)
    method = Level()
    method.level = 1.5
    plant = build(method=method, drift=None)
    plant.inspected(*(frame(seed) for seed in range(40)))
    assert drift_events(plant) == []
