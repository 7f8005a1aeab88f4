"""A database that refuses for a while loses no event and no alert of any monitor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.domain.calibration import Calibration
from agent.domain.camera_rules import CameraRulebook, CameraRules
from agent.domain.errors import StorageError
from agent.domain.frame import Delivery, DeliveryKind, FrameIdentity
from agent.domain.inspection import Inspection
from agent.domain.recipe import template_recipe
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.monitors.camera_timeout import CameraTimeoutMonitor
from agent.monitors.disk_space import DiskParts, DiskPolicy, DiskSpaceMonitor
from agent.monitors.failure_burst import BurstPolicy, FailureBurstMonitor
from agent.monitors.score_drift import DriftPolicy, ScoreDriftMonitor
from agent.monitors.sequence_gaps import (
    NumberSource,
    SequenceGapMonitor,
    SequenceGapOptions,
    SequencePolicy,
)
from agent.ports.disk import Space
from agent.telemetry import Counters
from storage import SqlHistory, SqlRetention
from tests.support.factory import Rooms
from tests.support.loopback import CAMERA, LoopbackTransport
from tests.support.parts import AwayHistory, mqtt_event_log
from tests.support.plant import AGENT
from tests.support.schedule import ManualSchedule

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
KINDS = {"drift", "burst", "gap", "silent", "disk-full"}


class FullDisk:
    """agent.ports.Disks: nothing is free, and nothing can be done."""

    ballast = 0

    def spaces(self) -> Sequence[Space]:
        return (Space("media", 10**9, 0),)

    def drop_ballast(self) -> bool:
        return False

    def take_ballast(self) -> bool:
        return True


def inspection(number: int, verdict: Verdict, score: float) -> Inspection:
    identity = FrameIdentity(CAMERA, str(number), sku="A")
    return Inspection(f"i{number}", identity, "A", verdict, "", NOW, NOW, score=score)


@pytest.mark.parametrize("refusals", [1, 2, 60])
def test_drift_burst_gap_timeout_and_disk_are_stored_and_published(rooms: Rooms, refusals: int) -> None:
    """Once, twice, or each second for a minute."""
    history = AwayHistory(rooms.database, agent_id="cell-7", agent_version="1")
    history.away = True
    transport, counters, now = LoopbackTransport(), Counters(), [0.0]
    log = mqtt_event_log(history, transport, counters)
    _drift_and_burst(log)
    _gap(history, log, counters)
    _timeout(transport, log, counters, now)
    disk = DiskParts(
        disks=FullDisk(),
        retention=SqlRetention(rooms.database, rooms.media),
        events=log,
        schedule=ManualSchedule(),
        counters=counters,
        agent=AGENT,
    )
    DiskSpaceMonitor(disk, DiskPolicy(reserve=10**8))()
    transport.stop()  # no way out but the outbox

    for _ in range(refusals):
        with pytest.raises(StorageError):
            log.flush()
    history.away = False
    log.flush()

    assert {row["kind"] for row in rooms.rows("event")} == KINDS
    alerts = [json.loads(one.message.payload)["kind"] for one in rooms.outbox.pending(99)]
    assert set(alerts) | {json.loads(one.payload)["kind"] for one in transport.published} == KINDS
    assert counters.get("events_lost") == 0


def _drift_and_burst(log: EventLog) -> None:
    calibration = Calibration(1.0, 0.9, 20, 0.01, "test", log_mean=-2.0, log_deviation=0.1)
    recipe = replace(template_recipe("A", "fade"), version=1, calibration=calibration)
    drift, burst = ScoreDriftMonitor(DriftPolicy(), log), FailureBurstMonitor(BurstPolicy(3, 5), log)
    for number in range(200):
        drift.observe(inspection(number, Verdict.PASS, 0.25), recipe)
    for number in range(3):
        burst.observe(inspection(number, Verdict.FAIL, 9.0), recipe)


def _gap(history: SqlHistory, log: EventLog, counters: Counters) -> None:
    options = SequenceGapOptions(NumberSource.FIELD, SequencePolicy(patience_s=0.0, pause_s=0.0))
    gaps = SequenceGapMonitor(options, history, log, counters, CameraRulebook())
    for number in (1, 4):
        gaps.note(gaps.numbered(FrameIdentity(CAMERA, str(number), sequence=number)))
    gaps.report(final=True)


def _timeout(transport: LoopbackTransport, log: EventLog, counters: Counters, now: list[float]) -> None:
    transport.start(lambda delivery: None)
    rules = CameraRulebook(CameraRules(timeout_s=60.0))
    monitor = CameraTimeoutMonitor(
        rules, CAMERA.site, log, counters, transport=transport, ingress=(), clock=lambda: now[0]
    )
    monitor.hear(Delivery(DeliveryKind.FRAME, CAMERA, b"", NOW))
    for _ in range(20):
        monitor.check()
        now[0] += 5.0
