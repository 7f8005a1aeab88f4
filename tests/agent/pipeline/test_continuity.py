"""Lost frames and silent cameras are reported in the history and as alerts, by a whole pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.domain.camera_rules import CameraRulebook, CameraRules, Overload
from agent.domain.errors import StorageError
from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity
from agent.monitors.camera_timeout import AWAY_AFTER_S, CameraTimeoutMonitor
from agent.monitors.sequence_gaps import (
    NumberSource,
    SequenceGapMonitor,
    SequenceGapOptions,
    SequencePolicy,
)
from agent.telemetry import Counters
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import CAMERA, LoopbackTransport, Sent
from tests.support.parts import MemoryHistory, mqtt_event_log
from tests.support.plant import GatedFade, Plant, frame

Build = Callable[..., Plant]
PROMPT = SequenceGapOptions(NumberSource.AUTO, SequencePolicy(patience_s=0.0, pause_s=0.0))
SIDE = Camera("plant", "line-1", "side")


def reported(plant: Plant, *kinds: str) -> list[dict[str, Any]]:
    rows = (event for event in plant.rooms.rows("event") if event["kind"] in kinds)
    return [{**event, "details": json.loads(event["details"])} for event in rows]


def alerts(plant: Plant, kind: str) -> list[dict[str, Any]]:
    sent = [json.loads(one.payload) for one in plant.transport.published if one.kind == "alert"]
    return [alert for alert in sent if alert["kind"] == kind]


@pytest.mark.slow
def test_frames_that_never_came_are_reported_with_their_numbers(build: Build) -> None:
    plant = build(gaps=PROMPT)
    plant.inspected(*(frame(seed) for seed in (1, 2, 5)))
    wait_until(lambda: alerts(plant, "gap"), "the alert")
    (event,), (alert,) = reported(plant, "gap"), alerts(plant, "gap")
    assert (event["camera"], event["severity"]) == (str(CAMERA), "warning")
    assert event["details"] == {"frames": 2, "numbers": "3-4", "first": 3}
    assert "2 frames are missing" in alert["reason"]
    assert plant.counters.get("frames_missing") == 2
    assert [row["sequence"] for row in plant.rows()] == [1, 2, 5]


def test_repeated_and_skipped_frames_are_not_missing(build: Build) -> None:
    method = GatedFade()
    plant = build(
        method=method,
        gaps=SequenceGapOptions(NumberSource.AUTO),
        rules=CameraRules(overload=Overload.LATEST),
    )
    sent = [frame(seed) for seed in range(12)]
    method.gate.clear()
    plant.deliver(*sent, sent[3].again(), sent[11].again())
    method.gate.set()
    plant.acknowledged(*sent)
    assert len(plant.rows()) == 12
    assert plant.counters.get("verdict_SKIPPED") > 0
    plant.pipeline.stop(10.0)
    assert plant.pipeline._monitors.gaps._tracker._series[str(CAMERA)].missing == []
    assert reported(plant, "gap") == []


@pytest.mark.slow
def test_what_is_lost_while_the_agent_is_away_is_reported_after_its_start(build: Build) -> None:
    before = build(gaps=PROMPT)
    before.inspected(frame(1), frame(4))
    before.pipeline.stop(10.0)
    assert len(reported(before, "gap")) == 1
    after = build(gaps=PROMPT)
    after.inspected(frame(7))
    wait_until(lambda: len(reported(after, "gap")) == 2, "the second gap")
    assert reported(after, "gap")[1]["details"]["numbers"] == "5-6"


@pytest.mark.slow
def test_a_camera_that_counts_anew_is_an_event_and_no_alert(build: Build) -> None:
    plant = build(gaps=PROMPT)
    plant.inspected(frame(5_000), frame(1), frame(2))
    wait_until(lambda: reported(plant, "sequence-restart"), "the event")
    assert reported(plant, "sequence-restart")[0]["severity"] == "info"
    assert alerts(plant, "sequence-restart") == []


@pytest.mark.slow
def test_shadow_cameras_alarm_nobody(build: Build) -> None:
    plant = build(gaps=PROMPT, rules=CameraRules(shadow=True))
    plant.inspected(frame(1), frame(3))
    wait_until(lambda: reported(plant, "gap"), "the event")
    plant.pipeline.stop(10.0)
    assert alerts(plant, "gap") == []


def test_a_gap_that_storage_refuses_is_stored_later() -> None:
    history, time = MemoryHistory(refuses=True), [0.0]
    log = mqtt_event_log(history, LoopbackTransport())
    monitor = SequenceGapMonitor(PROMPT, history, log, Counters(), CameraRulebook(), clock=lambda: time[0])
    for number in (1, 3):
        monitor.note(monitor.numbered(FrameIdentity(CAMERA, "x", sequence=number)))
    monitor.report(final=True)
    with pytest.raises(StorageError):
        log.flush()
    history.refuses = False
    time[0] = 5.0
    monitor.report()
    log.flush()
    assert [event.kind for event in history.events] == ["gap"]
    monitor.report(final=True)
    log.flush()
    assert len(history.events) == 1


# --------------------------------------------------------------------------------- camera timeouts


class _Monitored:
    """A monitor with a clock, a connection and a queue that the test moves."""

    def __init__(self, *expected: Camera, shadow: bool = False) -> None:
        self.now, self.waiting = 0.0, 0
        self.transport = LoopbackTransport()
        self.transport.start(lambda delivery: None)
        self.history = MemoryHistory()
        self.log = mqtt_event_log(self.history, self.transport)
        rules = CameraRules(timeout_s=60.0, shadow=shadow)
        named = {f"{camera.line}/{camera.camera}": rules for camera in expected}
        self.monitor = CameraTimeoutMonitor(
            CameraRulebook(rules, named),
            CAMERA.site,
            self.log,
            Counters(),
            transport=self.transport,
            ingress=self,
            clock=lambda: self.now,
        )
        self.monitor.check()

    def __len__(self) -> int:
        return self.waiting

    def wait(self, seconds: float, *, hearing: Camera | None = None) -> list[str]:
        """Check each five seconds; the kinds of events so far."""
        end = self.now + seconds
        while self.now < end:
            self.now += 5.0
            if hearing is not None:
                self.hear(hearing)
            self.monitor.check()
        if not self.history.refuses:
            self.log.flush()
        return [event.kind for event in self.history.events]

    def hear(self, camera: Camera, kind: DeliveryKind = DeliveryKind.FRAME) -> None:
        self.monitor.hear(Delivery(kind, camera, b"", datetime.now(UTC)))


def test_a_silent_camera_is_reported_once_and_when_it_is_heard() -> None:
    monitored = _Monitored()
    monitored.hear(CAMERA)
    assert monitored.wait(50) == []
    assert monitored.wait(10_000, hearing=SIDE) == ["silent"]
    monitored.hear(CAMERA, DeliveryKind.JOB)  # a job is not an image
    assert monitored.wait(5) == ["silent"]
    monitored.hear(CAMERA)
    assert monitored.wait(5) == ["silent", "heard"]
    kinds = [json.loads(one.payload)["kind"] for one in monitored.history.messages]
    assert kinds == ["silent", "heard"]


def test_a_configured_camera_that_never_sent_anything_is_reported() -> None:
    monitored = _Monitored(SIDE)
    assert monitored.wait(70) == ["silent"]
    assert "since the agent began to listen" in monitored.history.events[0].message


def test_while_the_broker_is_away_no_camera_is_blamed() -> None:
    monitored = _Monitored(CAMERA)
    monitored.wait(20)
    monitored.transport.stop()
    assert monitored.wait(AWAY_AFTER_S + 600) == ["broker-away"]
    monitored.transport.start(lambda delivery: None)
    assert monitored.wait(30) == ["broker-away", "broker-back"]
    assert monitored.wait(40) == ["broker-away", "broker-back", "silent"]


def test_a_pipeline_that_stands_still_is_not_a_camera_timeout() -> None:
    monitored = _Monitored(CAMERA)
    monitored.waiting = 3
    assert monitored.wait(600) == []
    assert monitored.wait(70, hearing=SIDE) == ["silent"]  # frames are taken again, however many wait


def test_a_silent_shadow_camera_alarms_nobody() -> None:
    monitored = _Monitored(CAMERA, shadow=True)
    assert monitored.wait(70) == ["silent"]
    assert monitored.history.messages == []


def test_a_timeout_that_storage_refuses_is_stored_later() -> None:
    monitored = _Monitored(CAMERA)
    monitored.history.refuses = True
    assert monitored.wait(100) == []
    monitored.history.refuses = False
    assert monitored.wait(5) == ["silent"]


def test_the_pipeline_reports_a_silent_camera(build: Build) -> None:
    plant = build(rules=CameraRules(timeout_s=1e-9))
    plant.inspected(frame(1))
    for _ in range(2):
        plant.pipeline.check_cameras()
    wait_until(lambda: alerts(plant, "silent"), "the alert")
    assert reported(plant, "silent")[0]["camera"] == str(CAMERA)


@pytest.mark.parametrize("shadow", [False, True])
def test_a_burst_of_failed_parts_is_one_alert(build: Build, rooms: Rooms, shadow: bool) -> None:
    from agent.monitors.failure_burst import BurstPolicy
    from tests.agent.pipeline.test_score_drift_events import Level, calibrated

    calibrated(rooms)
    method = Level()
    method.level = 9.0
    plant = build(method=method, drift=None, bursts=BurstPolicy(3, 5), rules=CameraRules(shadow=shadow))
    sent: list[Sent] = [frame(seed) for seed in range(8)]
    plant.inspected(*sent)
    method.level = 1.0
    plant.inspected(*(frame(seed) for seed in range(8, 16)))
    wait_until(lambda: len(reported(plant, "burst", "burst-over")) == 2, "both events")
    assert [one["kind"] for one in reported(plant, "burst", "burst-over")] == ["burst", "burst-over"]
    plant.pipeline.stop(10.0)
    assert len(alerts(plant, "burst")) == len(alerts(plant, "burst-over")) == (0 if shadow else 1)
