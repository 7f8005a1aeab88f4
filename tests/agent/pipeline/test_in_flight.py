"""InFlight: a frame delivered twice is judged once; equal images of two parts are judged twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import StorageError
from agent.domain.frame import (
    MAX_IDENTIFIER,
    MAX_IDENTIFIER_BYTES,
    Camera,
    DeliveryKind,
    FrameIdentity,
    content_digest,
)
from agent.domain.inspection import Inspection
from agent.domain.verdict import Verdict
from agent.pipeline.in_flight import InFlight
from agent.ports import Entry
from storage import SqlHistory
from tests.support.factory import Rooms
from tests.support.loopback import CAMERA, Sent, message

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def frame(*, redelivered: bool = False) -> Sent:
    sent = message(DeliveryKind.FRAME, b"image")
    return sent.again() if redelivered else sent


def named(frame_id: str, camera: Camera = CAMERA) -> FrameIdentity:
    return FrameIdentity(camera, frame_id, sku="A", part_id="7")


def derived(frame_id: str = "h-1") -> FrameIdentity:
    return FrameIdentity(CAMERA, frame_id, sku="A", content_derived=True)


def record(history: SqlHistory, identity: FrameIdentity) -> bool:
    name = f"{identity.camera}-{identity.frame_id}"
    inspection = Inspection(name, identity, "A", Verdict.PASS, "", NOW, NOW)
    return history.record([Entry(inspection)])[0]


def test_a_frame_enters_and_leaves_with_its_delivery(rooms: Rooms) -> None:
    in_flight, sent = InFlight(rooms.history), frame()
    identity = in_flight.enter(named("1"), sent.delivery)
    assert identity == named("1")
    assert len(in_flight) == 1
    assert list(in_flight.leave(named("1"))) == [sent.acknowledgement]
    assert len(in_flight) == 0
    assert not sent.acknowledged, "that is for the recorder"
    assert list(in_flight.leave(named("1"))) == []


@pytest.mark.parametrize("redelivered", [True, False])
def test_a_frame_under_way_is_acknowledged_with_the_first(rooms: Rooms, redelivered: bool) -> None:
    in_flight, first, second = InFlight(rooms.history), frame(), frame(redelivered=redelivered)
    assert in_flight.enter(named("1"), first.delivery) is not None
    assert in_flight.enter(named("1"), second.delivery) is None
    assert not second.acknowledged
    assert list(in_flight.leave(named("1"))) == [first.acknowledgement, second.acknowledgement]


def test_a_redelivered_frame_with_a_row_is_acknowledged_at_once(rooms: Rooms) -> None:
    in_flight, sent = InFlight(rooms.history), frame(redelivered=True)
    record(rooms.history, named("1"))
    assert in_flight.enter(named("1"), sent.delivery) is None
    assert sent.acknowledged
    assert len(in_flight) == 0


def test_a_redelivered_frame_without_a_row_is_judged(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    assert in_flight.enter(named("1"), frame(redelivered=True).delivery) == named("1")
    assert in_flight.enter(derived(), frame(redelivered=True).delivery) == derived()


def test_other_fields_of_a_message_do_not_make_another_frame(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    assert in_flight.enter(named("1"), frame().delivery) is not None
    assert in_flight.enter(FrameIdentity(CAMERA, "1", sku="B"), frame().delivery) is None


def test_cameras_do_not_share_their_ids(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    assert in_flight.enter(named("1"), frame().delivery) is not None
    assert in_flight.enter(named("1", Camera("plant", "line-1", "side")), frame().delivery) is not None


def enter(in_flight: InFlight, *, redelivered: bool = False) -> str | None:
    identity = in_flight.enter(derived(), frame(redelivered=redelivered).delivery)
    return None if identity is None else identity.frame_id


def test_equal_images_without_an_id_are_parts_of_their_own(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    assert [enter(in_flight) for _ in range(3)] == ["h-1", "h-1-2", "h-1-3"]
    for frame_id in ("h-1", "h-1-2"):
        record(rooms.history, derived(frame_id))
        assert len(in_flight.leave(derived(frame_id))) == 1
    assert enter(in_flight) == "h-1-4"
    record(rooms.history, derived("h-1-3"))
    assert enter(InFlight(rooms.history)) == "h-1-4", "after a restart the rows alone show it"


def test_the_same_image_redelivered_is_no_other_part(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    assert enter(in_flight) == "h-1"
    assert enter(in_flight, redelivered=True) is None
    record(rooms.history, derived())
    assert len(in_flight.leave(derived())) == 2
    assert enter(in_flight, redelivered=True) is None


def test_a_later_part_whose_row_came_first_does_not_confuse_the_count(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    assert [enter(in_flight), enter(in_flight)] == ["h-1", "h-1-2"]
    record(rooms.history, derived("h-1-2"))
    in_flight.leave(derived("h-1-2"))
    assert enter(in_flight) == "h-1-3"


def test_a_database_that_does_not_answer_leaves_no_trace(rooms: Rooms) -> None:
    class Away(SqlHistory):
        def occurrences(self, identity: FrameIdentity) -> int:
            raise StorageError("the database is away")

    in_flight = InFlight(Away(rooms.database, agent_id="cell-7", agent_version="1"))
    with pytest.raises(StorageError):
        in_flight.enter(derived(), frame().delivery)
    assert len(in_flight) == 0


class Meanwhile(SqlHistory):
    """Something happens between the question and its answer."""

    happening: Callable[[], None]

    def occurrences(self, identity: FrameIdentity) -> int:
        count = super().occurrences(identity)
        self.happening()
        return count


def test_a_row_that_is_written_while_an_id_is_chosen_costs_no_frame(rooms: Rooms) -> None:
    """The recorder commits the first part just after the second found no row."""
    history = Meanwhile(rooms.database, agent_id="cell-7", agent_version="1")
    history.happening = lambda: None
    in_flight = InFlight(history)
    assert enter(in_flight) == "h-1"

    def record_and_leave() -> None:
        record(rooms.history, derived())
        in_flight.leave(derived())

    recorder = threading.Thread(target=record_and_leave)

    def happening() -> None:
        recorder.start()
        recorder.join(0.2)  # a recorder that has to wait for us is as good

    history.happening = happening
    second = enter(in_flight)
    recorder.join(20.0)
    assert second == "h-1-2"
    assert record(rooms.history, derived(second)), "the second part has a row of its own"


def test_two_stages_never_choose_the_same_id(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    chosen: list[str | None] = []

    def many() -> None:
        chosen.extend(enter(in_flight) for _ in range(40))

    stages = [threading.Thread(target=many) for _ in range(2)]
    for stage in stages:
        stage.start()
    for stage in stages:
        stage.join(20.0)
    assert len(set(chosen)) == 80
    assert None not in chosen


def shown(content: str, frame_id: str = "1") -> FrameIdentity:
    """A frame that shows ``content``."""
    return FrameIdentity(CAMERA, frame_id, sku="A", content=content_digest(content.encode()))


def test_another_image_under_an_id_that_is_under_way_is_another_frame(rooms: Rooms) -> None:
    in_flight, first, other = InFlight(rooms.history), frame(), frame()
    assert in_flight.enter(shown("good"), first.delivery) == shown("good")
    entered = in_flight.enter(shown("scratched"), other.delivery)
    assert entered == shown("scratched").with_own_id()
    assert entered is not None
    assert entered.frame_id == f"1-{shown('scratched').content[:12]}"  # type: ignore[index]
    assert entered.sent_id == "1"
    assert in_flight.enter(shown("scratched"), frame(redelivered=True).delivery) is None, "the same once more"
    assert list(in_flight.leave(shown("good"))) == [first.acknowledgement]
    assert other.acknowledgement in list(in_flight.leave(entered))


def test_a_redelivered_frame_is_known_by_its_image(rooms: Rooms) -> None:
    in_flight = InFlight(rooms.history)
    record(rooms.history, shown("good"))
    assert in_flight.enter(shown("good"), frame(redelivered=True).delivery) is None
    entered = in_flight.enter(shown("scratched"), frame(redelivered=True).delivery)
    assert entered == shown("scratched"), "the recorder finds out that the id is used"
    in_flight.leave(entered)
    record(rooms.history, shown("scratched").with_own_id())
    assert in_flight.enter(shown("scratched"), frame(redelivered=True).delivery) is None


@given(st.text(min_size=1, max_size=255), st.binary(), st.binary())
def test_an_id_of_its_own_fits_its_column_and_depends_on_the_image(
    frame_id: str, one: bytes, other: bytes
) -> None:
    frame_id = frame_id.encode("utf-8", "ignore").decode()[:125] or "1"
    ids = [
        FrameIdentity(CAMERA, frame_id, content=content_digest(each)).with_own_id() for each in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)
    for each in ids:
        assert each.sent_id == frame_id
        assert len(each.frame_id) <= MAX_IDENTIFIER
        assert len(each.frame_id.encode()) <= MAX_IDENTIFIER_BYTES
