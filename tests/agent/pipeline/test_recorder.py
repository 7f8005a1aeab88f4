"""Recorder: files, one transaction, then acknowledgements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.topics import Topics
from agent.domain.camera_rules import CameraRulebook, CameraRules
from agent.domain.errors import StorageError
from agent.domain.frame import DeliveryKind, Frame, FrameIdentity, content_digest
from agent.domain.inspection import Defect, HeatMap
from agent.domain.verdict import Verdict
from agent.inference.inspector import InspectionResult
from agent.pipeline.in_flight import InFlight
from agent.pipeline.recorder import Recorder
from agent.pipeline.work_item import WorkItem
from agent.ports import MediaFile
from agent.telemetry import Counters
from storage import MediaFolder
from tests.support.factory import Rooms, encoded
from tests.support.images import spotted
from tests.support.loopback import CAMERA, LoopbackTransport, Sent, message
from tests.support.plant import FlakyHistory


class Bench:
    """A recorder with its parts."""

    def __init__(self, rooms: Rooms, failures: int = 0, **rules: Any) -> None:
        self.rooms = rooms
        self.history = FlakyHistory(rooms.database, agent_id="cell-7", agent_version="1")
        self.history.failures = failures
        self.in_flight = InFlight(self.history)
        self.counters = Counters()
        self.late_by = timedelta(0)
        self.clock_off_by = timedelta(0)
        self.recorder = Recorder(
            self.history,
            rooms.media,
            rooms.codec,
            (MqttSink(LoopbackTransport(), MqttMessageComposer(Topics("plant", "cell-7"), "1")),),
            self.in_flight,
            self.counters,
            rules=CameraRulebook(CameraRules(**rules)),
            clock=lambda: self._received + self.clock_off_by,
            monotonic=lambda: self._arrived + self.late_by.total_seconds(),
        )
        self._note(message(DeliveryKind.FRAME, b""))

    def work(self, number: int, result: InspectionResult) -> tuple[WorkItem, Sent]:
        image = spotted(number)
        sent = message(DeliveryKind.FRAME, encoded(image))
        self._note(sent)
        identity = FrameIdentity(CAMERA, str(number), sku="A")
        assert self.in_flight.enter(identity, sent.delivery) == identity
        frame = Frame(identity, image, sent.delivery.payload, "image/png", sent.delivery.received_at)
        return WorkItem(sent.delivery, identity, frame=frame, sku="A", result=result), sent

    def _note(self, sent: Sent) -> None:
        self._received, self._arrived = sent.delivery.received_at, sent.delivery.arrived


def failed() -> InspectionResult:
    mask = np.zeros((64, 64), np.uint8)
    mask[16:32, 40:56] = 1
    defect = Defect(1, "stain", 0.9, (40, 16, 16, 16), 256, 256 / 4096)
    return InspectionResult(Verdict.FAIL, "above", 0.9, (defect,), mask, 3.0)


PASSED = InspectionResult(Verdict.PASS, "below", 0.1)


def test_a_passed_frame_is_a_row_an_image_and_a_verdict(rooms: Rooms) -> None:
    bench = Bench(rooms)
    work, sent = bench.work(1, PASSED)
    bench.recorder.record([work])
    row = rooms.rows("inspection")[0]
    assert (row["frame_id"], row["verdict"], row["score"], row["mask_path"]) == ("1", "PASS", 0.1, None)
    assert rooms.media.get(row["image_path"]) == sent.delivery.payload
    assert [m.message.kind for m in rooms.outbox.pending(9)] == ["verdict"]
    assert sent.acknowledged
    assert bench.counters.get("verdict_PASS") == 1
    assert len(bench.in_flight) == 0


def test_a_failed_frame_has_mask_overlay_defects_and_alert(rooms: Rooms) -> None:
    bench = Bench(rooms)
    work, _sent = bench.work(1, failed())
    bench.recorder.record([work])
    row = rooms.rows("inspection")[0]
    mask = rooms.codec.decode(rooms.media.get(row["mask_path"]))
    assert (mask[20, 45].tolist(), mask[0, 0].tolist()) == ([1] * 3, [0] * 3)
    assert rooms.codec.decode(rooms.media.get(row["overlay_path"])).shape[2] == 3
    assert [(d["label"], d["area_px"]) for d in rooms.rows("defect")] == [("stain", 256)]
    assert sorted(m.message.kind for m in rooms.outbox.pending(9)) == ["alert", "mask", "verdict"]


def test_a_frame_for_review_shows_why_as_a_failed_one_does(rooms: Rooms) -> None:
    bench = Bench(rooms)
    heat = HeatMap(np.linspace(0.0, 0.3, 64, dtype=np.float32).reshape(8, 8), 0.4)
    closest = replace(failed(), verdict=Verdict.REVIEW, heat=heat)
    work, _sent = bench.work(1, closest)
    bare, _sent = bench.work(2, InspectionResult(Verdict.REVIEW, "no map", 0.3))
    bench.recorder.record([work, bare])
    first, second = rooms.rows("inspection")
    assert (first["verdict"], second["verdict"]) == ("REVIEW", "REVIEW")
    mask = rooms.codec.decode(rooms.media.get(first["mask_path"]))
    assert mask.max() == 1
    with_heat = rooms.codec.decode(rooms.media.get(first["overlay_path"]))
    alone = rooms.codec.decode(rooms.media.get(second["overlay_path"]))
    assert with_heat.shape[1] > 1.9 * alone.shape[1], "the heat map stands beside the frame"
    assert second["mask_path"] is None, "the method has no map"
    messages = [json.loads(m.message.payload) for m in rooms.outbox.pending(9) if m.message.kind == "verdict"]
    assert [one["media"]["overlay"] for one in messages] == [first["overlay_path"], second["overlay_path"]]
    assert sorted(m.message.kind for m in rooms.outbox.pending(9)) == ["mask", "verdict", "verdict"]


def test_an_unreadable_frame_is_a_row_without_image(rooms: Rooms) -> None:
    bench = Bench(rooms)
    work, sent = bench.work(1, PASSED)
    work.frame = None
    work.fail("no image")
    bench.recorder.record([work])
    row = rooms.rows("inspection")[0]
    assert (row["verdict"], row["reason"], row["image_path"]) == ("ERROR", "no image", None)
    assert (row["score"], row["width"], row["model_digest"]) == (None, None, None)
    assert sent.acknowledged


def test_a_skipped_frame_is_a_row_without_message(rooms: Rooms) -> None:
    bench = Bench(rooms)
    work, _sent = bench.work(1, PASSED)
    bench.recorder.record([work.skip()])
    assert rooms.rows("inspection")[0]["verdict"] == "SKIPPED"
    assert rooms.outbox.depth() == 0


def test_where_storage_refuses_nothing_is_written_and_nothing_acknowledged(rooms: Rooms) -> None:
    bench = Bench(rooms, failures=1)
    pairs = [bench.work(number, PASSED) for number in range(3)]
    works = [work for work, _sent in pairs]
    with pytest.raises(StorageError):
        bench.recorder.record(works)
    assert not any(sent.acknowledged for _work, sent in pairs)
    assert (rooms.count("inspection"), rooms.outbox.depth(), len(bench.in_flight)) == (0, 0, 3)
    bench.recorder.record(works)
    assert [sent.acknowledgement.count for _work, sent in pairs] == [1, 1, 1]
    assert rooms.outbox.depth() == 3


def test_a_frame_that_already_has_its_row_is_acknowledged_and_counted(rooms: Rooms) -> None:
    bench = Bench(rooms)
    first, _sent = bench.work(1, PASSED)
    bench.recorder.record([first])
    second, sent = bench.work(1, failed())
    third, _other = bench.work(2, PASSED)
    bench.recorder.record([second, third])
    assert sent.acknowledged
    assert [row["verdict"] for row in rooms.rows("inspection")] == ["PASS", "PASS"]
    assert bench.counters.get("frames_repeated") == 1
    assert rooms.outbox.depth() == 2, "no second verdict"


def test_all_deliveries_of_a_frame_are_acknowledged(rooms: Rooms) -> None:
    bench = Bench(rooms)
    work, sent = bench.work(1, PASSED)
    again = sent.again()
    assert bench.in_flight.enter(work.identity, again.delivery) is None
    bench.recorder.record([work])
    assert (sent.acknowledgement.count, again.acknowledgement.count) == (1, 1)


@pytest.mark.parametrize(("cycle_ms", "late"), [(None, False), (999.0, True), (1001.0, False)])
def test_a_verdict_later_than_the_cycle_says_so(rooms: Rooms, cycle_ms: float | None, late: bool) -> None:
    bench = Bench(rooms, cycle_time_ms=cycle_ms)
    work, _sent = bench.work(1, PASSED)
    bench.late_by = timedelta(seconds=1)
    bench.recorder.record([work])
    assert bool(rooms.rows("inspection")[0]["late"]) is late


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
def test_a_wall_clock_that_jumps_makes_no_verdict_late_and_no_time_long(
    rooms: Rooms, jump: timedelta
) -> None:
    bench = Bench(rooms, cycle_time_ms=999.0)
    work, _sent = bench.work(1, PASSED)
    work.decoded = work.delivery.arrived
    bench.clock_off_by, bench.late_by = jump, timedelta(seconds=0.5)
    bench.recorder.record([work])
    row = rooms.rows("inspection")[0]
    assert (row["verdict"], bool(row["late"])) == ("PASS", False)
    assert row["queue_ms"] == pytest.approx(500.0)


def test_equal_images_share_their_file(rooms: Rooms) -> None:
    bench = Bench(rooms)
    one, _sent = bench.work(1, PASSED)
    bench.recorder.record([one])
    two, _sent = bench.work(2, PASSED)
    two.frame = one.frame
    bench.recorder.record([two])
    paths = [row["image_path"] for row in rooms.rows("inspection")]
    assert paths[0] == paths[1]


def test_work_without_a_result_is_a_mistake(rooms: Rooms) -> None:
    bench = Bench(rooms)
    work, _sent = bench.work(1, PASSED)
    work.result = None
    with pytest.raises(ValueError, match="without result"):
        bench.recorder.record([work])


def test_another_image_under_the_id_of_a_row_gets_an_id_of_its_own(rooms: Rooms) -> None:
    bench = Bench(rooms)
    first, _ = bench.work(1, PASSED)
    bench.recorder.record([first])
    again, sent = bench.work(1, failed())
    again.identity = replace(again.identity, content=content_digest(b"another image"))
    first_row = rooms.rows("inspection")[0]
    bench.history.failures = 1
    with pytest.raises(StorageError):
        bench.recorder.record([again])
    bench.recorder.record([again])
    assert sent.acknowledged
    assert len(bench.in_flight) == 0
    rows = rooms.rows("inspection")
    assert rows[0] == first_row
    assert [(row["frame_id"], row["sent_frame_id"], row["verdict"]) for row in rows] == [
        ("1", None, "PASS"),
        (again.identity.frame_id, "1", "FAIL"),
    ]
    verdict = json.loads(rooms.rows("outbox")[1]["payload"])
    assert (verdict["frame_id"], verdict["sent_frame_id"]) == (again.identity.frame_id, "1")


def test_a_refused_row_costs_no_second_drawing(rooms: Rooms) -> None:
    bench = Bench(rooms, failures=2)
    work, _ = bench.work(1, failed())
    drawings = []
    for _ in range(2):
        with pytest.raises(StorageError):
            bench.recorder.record([work])
        drawings.append(work.drawn)
    bench.recorder.record([work])
    assert work.drawn is drawings[0] is drawings[1]
    assert work.drawn is not None
    (row,) = rooms.rows("inspection")
    assert rooms.media.get(row["overlay_path"]) == work.drawn.overlay
    assert rooms.media.get(row["mask_path"]) == work.drawn.mask


class CountingMedia(MediaFolder):
    """Counts how often the disk is waited for."""

    groups = 0

    def put_all(self, files: Sequence[MediaFile]) -> list[str]:
        self.groups += 1
        return super().put_all(files)


def test_frames_that_wait_share_one_transaction_and_one_wait_for_the_disk(rooms: Rooms) -> None:
    media = rooms.media = CountingMedia(rooms.folder / "media")
    bench = Bench(rooms)
    pairs = [bench.work(number, failed() if number % 3 == 0 else PASSED) for number in range(12)]
    commits, syncs = rooms.database.commits, media.syncs
    bench.recorder.record([work for work, _sent in pairs])
    assert rooms.database.commits - commits == 1
    assert media.groups == 1
    assert 17 < media.syncs - syncs <= 2 * 17, "12 images, 4 overlays, their one mask, and the folders"
    assert all(sent.acknowledged for _work, sent in pairs)
    for row in rooms.rows("inspection"):
        stored = [row[role] for role in ("image_path", "mask_path", "overlay_path")]
        assert [path is not None for path in stored] == [True, *[row["verdict"] == "FAIL"] * 2]
        assert rooms.media.get(row["image_path"]) == pairs[int(row["frame_id"])][1].delivery.payload
