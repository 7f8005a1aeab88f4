"""Recording: files, one transaction, then acknowledgements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.topics import Topics
from agent.domain.errors import StorageError
from agent.domain.frame import DeliveryKind, Frame, FrameIdentity
from agent.domain.inspection import Defect
from agent.domain.verdict import Verdict
from agent.inference.inspector import InspectionResult
from agent.pipeline.in_flight import InFlight
from agent.pipeline.recorder import Recorder, RecordingOptions
from agent.pipeline.work_item import WorkItem
from agent.telemetry import Counters
from tests.support.factory import Rooms, encoded
from tests.support.images import spotted
from tests.support.loopback import CAMERA, Sent, message
from tests.support.plant import FlakyHistory


class Stage:
    """A recorder with its parts."""

    def __init__(self, rooms: Rooms, failures: int = 0, **options: Callable[..., object]) -> None:
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
            MqttMessageComposer(Topics(site="plant", agent="cell-7"), "1"),
            self.in_flight,
            self.counters,
            options=RecordingOptions(**options),  # type: ignore[arg-type]
            clock=lambda: self._received + self.clock_off_by,
            monotonic=lambda: self._arrived + self.late_by.total_seconds(),
        )
        self._note(message(DeliveryKind.FRAME, b""))

    def work(self, number: int, judgement: InspectionResult) -> tuple[WorkItem, Sent]:
        image = spotted(number)
        sent = message(DeliveryKind.FRAME, encoded(image))
        self._note(sent)
        identity = FrameIdentity(CAMERA, str(number), sku="A")
        assert self.in_flight.enter(identity, sent.delivery) == identity
        frame = Frame(identity, image, sent.delivery.payload, "image/png", sent.delivery.received_at)
        return WorkItem(sent.delivery, identity, frame=frame, sku="A", judgement=judgement), sent

    def _note(self, sent: Sent) -> None:
        self._received, self._arrived = sent.delivery.received_at, sent.delivery.arrived


def failed() -> InspectionResult:
    mask = np.zeros((64, 64), np.uint8)
    mask[16:32, 40:56] = 1
    defect = Defect(1, "stain", 0.9, (40, 16, 16, 16), 256, 256 / 4096)
    return InspectionResult(Verdict.FAIL, "above", 0.9, (defect,), mask, 3.0)


PASSED = InspectionResult(Verdict.PASS, "below", 0.1)


def test_a_passed_frame_is_a_row_a_image_and_a_verdict(rooms: Rooms) -> None:
    desk = Stage(rooms)
    work, sent = desk.work(1, PASSED)
    desk.recorder.record([work])
    row = rooms.rows("inspection")[0]
    assert (row["frame_id"], row["verdict"], row["score"], row["mask_path"]) == ("1", "PASS", 0.1, None)
    assert rooms.media.get(row["image_path"]) == sent.delivery.payload
    assert [m.message.kind for m in rooms.outbox.pending(9)] == ["verdict"]
    assert sent.acknowledged
    assert desk.counters.get("verdict_PASS") == 1
    assert len(desk.in_flight) == 0


def test_a_failed_frame_has_mask_overlay_defects_and_alert(rooms: Rooms) -> None:
    desk = Stage(rooms)
    work, _sent = desk.work(1, failed())
    desk.recorder.record([work])
    row = rooms.rows("inspection")[0]
    mask = rooms.codec.decode(rooms.media.get(row["mask_path"]))
    assert (mask[20, 45].tolist(), mask[0, 0].tolist()) == ([1] * 3, [0] * 3)
    assert rooms.codec.decode(rooms.media.get(row["overlay_path"])).shape[2] == 3
    assert [(d["label"], d["area_px"]) for d in rooms.rows("defect")] == [("stain", 256)]
    assert sorted(m.message.kind for m in rooms.outbox.pending(9)) == ["alert", "mask", "verdict"]


def test_an_unreadable_frame_is_a_row_without_image(rooms: Rooms) -> None:
    desk = Stage(rooms)
    work, sent = desk.work(1, PASSED)
    work.frame = None
    work.fail("no image")
    desk.recorder.record([work])
    row = rooms.rows("inspection")[0]
    assert (row["verdict"], row["reason"], row["image_path"]) == ("ERROR", "no image", None)
    assert (row["score"], row["width"], row["model_digest"]) == (None, None, None)
    assert sent.acknowledged


def test_a_skipped_frame_is_a_row_without_message(rooms: Rooms) -> None:
    desk = Stage(rooms)
    work, _sent = desk.work(1, PASSED)
    desk.recorder.record([work.skip()])
    assert rooms.rows("inspection")[0]["verdict"] == "SKIPPED"
    assert rooms.outbox.depth() == 0


def test_where_storage_refuses_nothing_is_written_and_nothing_acknowledged(rooms: Rooms) -> None:
    desk = Stage(rooms, failures=1)
    pairs = [desk.work(number, PASSED) for number in range(3)]
    works = [work for work, _sent in pairs]
    with pytest.raises(StorageError):
        desk.recorder.record(works)
    assert not any(sent.acknowledged for _work, sent in pairs)
    assert (rooms.count("inspection"), rooms.outbox.depth(), len(desk.in_flight)) == (0, 0, 3)
    desk.recorder.record(works)
    assert [sent.acknowledgement.count for _work, sent in pairs] == [1, 1, 1]
    assert rooms.outbox.depth() == 3


def test_a_frame_that_already_has_its_row_is_acknowledged_and_counted(rooms: Rooms) -> None:
    desk = Stage(rooms)
    first, _sent = desk.work(1, PASSED)
    desk.recorder.record([first])
    second, sent = desk.work(1, failed())
    third, _other = desk.work(2, PASSED)
    desk.recorder.record([second, third])
    assert sent.acknowledged
    assert [row["verdict"] for row in rooms.rows("inspection")] == ["PASS", "PASS"]
    assert desk.counters.get("frames_repeated") == 1
    assert rooms.outbox.depth() == 2, "no second verdict"


def test_all_deliveries_of_a_frame_are_acknowledged(rooms: Rooms) -> None:
    desk = Stage(rooms)
    work, sent = desk.work(1, PASSED)
    again = sent.again()
    assert desk.in_flight.enter(work.identity, again.delivery) is None
    desk.recorder.record([work])
    assert (sent.acknowledgement.count, again.acknowledgement.count) == (1, 1)


@pytest.mark.parametrize(("cycle_ms", "late"), [(None, False), (999.0, True), (1001.0, False)])
def test_a_verdict_later_than_the_cycle_says_so(rooms: Rooms, cycle_ms: float | None, late: bool) -> None:
    desk = Stage(rooms, cycle_time_ms=lambda camera: cycle_ms)
    work, _sent = desk.work(1, PASSED)
    desk.late_by = timedelta(seconds=1)
    desk.recorder.record([work])
    assert bool(rooms.rows("inspection")[0]["late"]) is late


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
def test_a_wall_clock_that_jumps_makes_no_verdict_late_and_no_time_long(
    rooms: Rooms, jump: timedelta
) -> None:
    desk = Stage(rooms, cycle_time_ms=lambda camera: 999.0)
    work, _sent = desk.work(1, PASSED)
    work.decoded = work.delivery.arrived
    desk.clock_off_by, desk.late_by = jump, timedelta(seconds=0.5)
    desk.recorder.record([work])
    row = rooms.rows("inspection")[0]
    assert (row["verdict"], bool(row["late"])) == ("PASS", False)
    assert row["queue_ms"] == pytest.approx(500.0)


def test_equal_images_share_their_file(rooms: Rooms) -> None:
    desk = Stage(rooms)
    one, _sent = desk.work(1, PASSED)
    desk.recorder.record([one])
    two, _sent = desk.work(2, PASSED)
    two.frame = one.frame
    desk.recorder.record([two])
    paths = [row["image_path"] for row in rooms.rows("inspection")]
    assert paths[0] == paths[1]


def test_work_without_a_judgement_is_a_mistake(rooms: Rooms) -> None:
    desk = Stage(rooms)
    work, _sent = desk.work(1, PASSED)
    work.judgement = None
    with pytest.raises(ValueError, match="without judgement"):
        desk.recorder.record([work])
