"""Lost frames and silent cameras: told in the history and as alerts, by a whole line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity
from agent.monitors.camera_timeout import AWAY_AFTER_S, CameraTimeoutMonitor, configured
from agent.monitors.sequence_gaps import NumberSource, SequenceGapMonitor, SequencePolicy
from agent.pipeline import CameraTimeoutOptions, Overload, SequenceGapOptions
from agent.ports import OutboxMessage
from agent.telemetry import Counters
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import CAMERA, Sent
from tests.support.plant import GatedFade, Plant, frame

Build = Callable[..., Plant]
PROMPT = SequenceGapOptions(NumberSource.AUTO, SequencePolicy(patience_s=0.0, pause_s=0.0))
SIDE = Camera("plant", "line-1", "side")


def told(plant: Plant, *kinds: str) -> list[dict[str, Any]]:
    rows = (event for event in plant.rooms.rows("event") if event["kind"] in kinds)
    return [{**event, "details": json.loads(event["details"])} for event in rows]


def alerts(plant: Plant, kind: str) -> list[dict[str, Any]]:
    sent = [json.loads(one.payload) for one in plant.transport.published if one.kind == "alert"]
    return [alert for alert in sent if alert["kind"] == kind]


def test_frames_that_never_came_are_told_with_their_numbers(build: Build) -> None:
    plant = build(numbers=PROMPT)
    plant.inspected(*(frame(seed) for seed in (1, 2, 5)))
    wait_until(lambda: alerts(plant, "gap"), "the alert")
    (event,), (alert,) = told(plant, "gap"), alerts(plant, "gap")
    assert (event["camera"], event["severity"]) == (str(CAMERA), "warning")
    assert event["details"] == {"frames": 2, "numbers": "3-4", "first": 3}
    assert "2 frames are missing" in alert["reason"]
    assert plant.counters.get("frames_missing") == 2
    assert [row["sequence"] for row in plant.rows()] == [1, 2, 5]


def test_repeated_and_skipped_frames_are_not_missing(build: Build) -> None:
    method = GatedFade()
    plant = build(
        method=method,
        numbers=SequenceGapOptions(NumberSource.AUTO),
        overload=lambda camera: Overload.LATEST,
    )
    sent = [frame(seed) for seed in range(12)]
    method.gate.clear()
    plant.deliver(*sent, sent[3].again(), sent[11].again())
    method.gate.set()
    plant.acknowledged(*sent)
    assert len(plant.rows()) == 12
    assert plant.counters.get("verdict_SKIPPED") > 0
    plant.line.stop(10.0)
    assert plant.line._watches.numbers._numbering._series[str(CAMERA)].missing == []
    assert told(plant, "gap") == []


def test_what_is_lost_while_the_agent_is_away_is_told_after_its_start(build: Build) -> None:
    before = build(numbers=PROMPT)
    before.inspected(frame(1), frame(4))
    before.line.stop(10.0)
    assert len(told(before, "gap")) == 1
    after = build(numbers=PROMPT)
    after.inspected(frame(7))
    wait_until(lambda: len(told(after, "gap")) == 2, "the second gap")
    assert told(after, "gap")[1]["details"]["numbers"] == "5-6"


def test_a_camera_that_counts_anew_is_an_event_and_no_alert(build: Build) -> None:
    plant = build(numbers=PROMPT)
    plant.inspected(frame(5_000), frame(1), frame(2))
    wait_until(lambda: told(plant, "sequence-restart"), "the event")
    assert told(plant, "sequence-restart")[0]["severity"] == "info"
    assert alerts(plant, "sequence-restart") == []


def test_shadow_cameras_alarm_nobody(build: Build) -> None:
    plant = build(numbers=PROMPT, shadow=True)
    plant.inspected(frame(1), frame(3))
    wait_until(lambda: told(plant, "gap"), "the event")
    plant.line.stop(10.0)
    assert alerts(plant, "gap") == []


class _Refusing:
    """A history that refuses until it is told not to."""

    def __init__(self) -> None:
        self.refuses = True
        self.events: list[Event] = []
        self.messages: list[OutboxMessage] = []

    def announce(self, event: Event, messages: tuple[OutboxMessage, ...]) -> None:
        if self.refuses:
            raise StorageError("the disk is full")
        self.events.append(event)
        self.messages.extend(messages)

    def recent_sequences(self, camera: Camera, limit: int) -> list[int]:
        return []


class _Announcer:
    def alert(self, camera: Camera, kind: str, reason: str, at: datetime, **_: object) -> OutboxMessage:
        return OutboxMessage("alert", f"{camera}/alert", kind.encode())


def test_a_gap_that_storage_refuses_is_told_later() -> None:
    history, time = _Refusing(), [0.0]
    watch = SequenceGapMonitor(
        PROMPT,
        history,  # type: ignore[arg-type]
        _Announcer(),  # type: ignore[arg-type]
        Counters(),
        clock=lambda: time[0],
    )
    for number in (1, 3):
        watch.note(watch.numbered(FrameIdentity(CAMERA, "x", sequence=number)))
    watch.tell(final=True)
    assert history.events == []
    history.refuses = False
    time[0] = 5.0
    watch.tell()
    assert [event.kind for event in history.events] == ["gap"]
    watch.tell(final=True)
    assert len(history.events) == 1


# ------------------------------------------------------------------------------------------ silence


class _Ears:
    """A watch with a clock, a connection and a queue that the test moves."""

    def __init__(self, *expected: Camera, shadow: bool = False) -> None:
        self.now, self.connected, self.waiting = 0.0, True, 0
        self.history = _Refusing()
        self.history.refuses = False
        self.watch = CameraTimeoutMonitor(
            CameraTimeoutOptions(lambda camera: 60.0, expected),
            self.history,  # type: ignore[arg-type]
            _Announcer(),  # type: ignore[arg-type]
            Counters(),
            connected=lambda: self.connected,
            waiting=lambda: self.waiting,
            shadow=lambda camera: shadow,
            clock=lambda: self.now,
        )
        self.watch.check()

    def wait(self, seconds: float, *, hearing: Camera | None = None) -> list[str]:
        """Check each five seconds; the kinds of events so far."""
        end = self.now + seconds
        while self.now < end:
            self.now += 5.0
            if hearing is not None:
                self.hear(hearing)
            self.watch.check()
        return [event.kind for event in self.history.events]

    def hear(self, camera: Camera, kind: DeliveryKind = DeliveryKind.FRAME) -> None:
        self.watch.hear(Delivery(kind, camera, b"", datetime.now(UTC)))


def test_a_silent_camera_is_told_once_and_when_it_is_heard() -> None:
    ears = _Ears()
    ears.hear(CAMERA)
    assert ears.wait(50) == []
    assert ears.wait(10_000, hearing=SIDE) == ["silent"]
    ears.hear(CAMERA, DeliveryKind.JOB)  # nobody has photographed anything yet
    assert ears.wait(5) == ["silent"]
    ears.hear(CAMERA)
    assert ears.wait(5) == ["silent", "heard"]
    assert [one.payload for one in ears.history.messages] == [b"silent", b"heard"]


def test_a_configured_camera_that_never_sent_anything_is_told() -> None:
    ears = _Ears(*configured("plant", ["line-1/side"]))
    assert ears.wait(70) == ["silent"]
    assert "since the agent began to listen" in ears.history.events[0].message


def test_while_the_broker_is_away_that_is_told_and_no_camera_is_blamed() -> None:
    ears = _Ears(CAMERA)
    ears.wait(20)
    ears.connected = False
    assert ears.wait(AWAY_AFTER_S + 600) == ["broker-away"]
    ears.connected = True
    assert ears.wait(30) == ["broker-away", "broker-back"]
    assert ears.wait(40) == ["broker-away", "broker-back", "silent"]


def test_a_line_that_stands_still_is_no_silence_of_cameras() -> None:
    ears = _Ears(CAMERA)
    ears.waiting = 3
    assert ears.wait(600) == []
    assert ears.wait(70, hearing=SIDE) == ["silent"]  # frames are taken again, however many wait


def test_a_silent_shadow_camera_alarms_nobody() -> None:
    ears = _Ears(CAMERA, shadow=True)
    assert ears.wait(70) == ["silent"]
    assert ears.history.messages == []


def test_what_storage_refuses_is_told_later() -> None:
    ears = _Ears(CAMERA)
    ears.history.refuses = True
    assert ears.wait(100) == []
    ears.history.refuses = False
    assert ears.wait(5) == ["silent"]


def test_the_line_tells_of_a_silent_camera(build: Build) -> None:
    plant = build(silence=CameraTimeoutOptions(lambda camera: 1e-9))
    plant.inspected(frame(1))
    for _ in range(2):
        plant.line.check_silence()
    wait_until(lambda: alerts(plant, "silent"), "the alert")
    assert told(plant, "silent")[0]["camera"] == str(CAMERA)


@pytest.mark.parametrize("shadow", [False, True])
def test_a_burst_of_failed_parts_is_one_alert(build: Build, rooms: Rooms, shadow: bool) -> None:
    from agent.monitors.failure_burst import BurstPolicy
    from tests.agent.pipeline.test_score_drift_events import Level, calibrated

    calibrated(rooms)
    method = Level()
    method.level = 9.0
    plant = build(method=method, drift=None, bursts=BurstPolicy(3, 5), shadow=shadow)
    sent: list[Sent] = [frame(seed) for seed in range(8)]
    plant.inspected(*sent)
    method.level = 1.0
    plant.inspected(*(frame(seed) for seed in range(8, 16)))
    wait_until(lambda: len(told(plant, "burst", "burst-over")) == 2, "both events")
    assert [one["kind"] for one in told(plant, "burst", "burst-over")] == ["burst", "burst-over"]
    plant.line.stop(10.0)
    assert len(alerts(plant, "burst")) == len(alerts(plant, "burst-over")) == (0 if shadow else 1)
