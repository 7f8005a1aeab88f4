"""SqlHistory: inspections, events and feedback, each in one transaction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select

from agent.domain.errors import FrameIdUsedError, StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, content_digest
from agent.domain.inspection import Feedback, MediaPaths
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, SqlHistory, SqlOutbox, SqlRecipeBook, defects, inspections, schema
from tests.storage.examples import (
    CAMERA,
    NOON,
    bolt_recipe,
    defect,
    entry,
    full_inspection,
    identity,
    inspected,
    message,
)


def count(database: Database, table: str) -> int:
    with database.read() as connection:
        return connection.execute(
            select(func.count()).select_from(schema.metadata.tables[table])
        ).scalar_one()


@pytest.mark.parametrize(
    ("number", "kept"), [(2**63 - 1, 2**63 - 1), (-(2**63), None), (2**63, None), (10**40, None)]
)
def test_a_number_beyond_64_bits_costs_no_row(
    database: Database, history: SqlHistory, number: int, kept: int | None
) -> None:
    one = inspected(identity=identity(sequence=number))
    assert history.record([Entry(one)]) == [True]
    assert [row["sequence"] for row in inspections(database)] == [kept]


def test_every_field_of_an_inspection_stands_in_its_row(
    database: Database, history: SqlHistory, book: SqlRecipeBook
) -> None:
    recipe = book.add(bolt_recipe())
    inspection = full_inspection(recipe)
    assert history.record([Entry(inspection)]) == [True]

    (row,) = inspections(database)
    assert row == {
        "inspection_id": "0190-full",
        "site": "factory",
        "line": "line-1",
        "camera": "cam-a",
        "frame_id": "f-full",
        "sent_frame_id": None,
        "part_id": "part-9",
        "sequence": 41,
        "sku": "bolt",
        "verdict": "FAIL",
        "reason": "score 0.9 is above the threshold 0.5",
        "score": 0.9,
        "threshold": 0.5,
        "threshold_source": "leave-one-out of 16 references",
        "calibration_samples": 16,
        "calibrated": True,
        "shadow": True,
        "late": True,
        "recipe_id": recipe.id,
        "recipe_version": 1,
        "method": "sightline",
        "prompt_source": "template",
        "shots": 2,
        "model_digest": "ab" * 32,
        "queue_ms": 1.5,
        "decode_ms": 2.5,
        "infer_ms": 3.5,
        "record_ms": 4.5,
        "total_ms": 12.0,
        "image_path": "aa/bb/i.jpg",
        "mask_path": "aa/bb/m.png",
        "overlay_path": "aa/bb/o.jpg",
        "width": 640,
        "height": 480,
        "captured_at": NOON - timedelta(seconds=2),
        "received_at": NOON,
        "inspected_at": NOON + timedelta(milliseconds=250),
        "agent_id": "cell-7",
        "agent_version": "1.2.3",
        "defects": 2,
        "defect_labels": "scratch, dent",
        **dict.fromkeys(("truth", "truth_by", "truth_note", "truth_at")),
    }
    with database.read() as connection:
        assert connection.execute(select(schema.inspection.c.content_derived)).scalars().all() == [True]
    first, second = defects(database, "0190-full")
    assert (first["label"], second["label"]) == ("scratch", "dent")
    box = [first[f"bbox_{side}"] for side in ("x", "y", "width", "height")]
    assert box == [10, 20, 30, 40]
    assert (first["score"], first["area_px"], first["area_fraction"]) == (0.75, 900, 0.0125)


def test_a_frame_recorded_before_adds_nothing(database: Database, history: SqlHistory) -> None:
    first = Entry(inspected("f-1", defects=(defect(),)), (message(),))
    assert history.record([first, entry("f-2")]) == [True, True]

    again = replace(first, inspection=replace(first.inspection, inspection_id="another"))
    assert history.record([entry("f-3"), again]) == [True, False]
    assert [count(database, table) for table in ("inspection", "defect", "outbox")] == [3, 1, 3]


def test_the_same_frame_twice_in_one_batch_is_one_row(history: SqlHistory, database: Database) -> None:
    twin = entry("f-1")
    other = replace(twin, inspection=replace(twin.inspection, inspection_id="another"))
    assert history.record([twin, other]) == [True, False]
    assert count(database, "outbox") == 1


def test_the_same_frame_id_on_another_camera_is_another_frame(history: SqlHistory) -> None:
    assert history.record([entry("f-1"), entry("f-1", camera=Camera("factory", "line-1", "cam-b"))]) == [
        True,
        True,
    ]


def test_a_failure_leaves_nothing_of_the_whole_batch(database: Database, history: SqlHistory) -> None:
    twice = Entry(inspected("f-2", defects=(defect(1), defect(1))), (message(),))
    with pytest.raises(StorageError, match="refused"):
        history.record([entry("f-1"), twice])
    assert [count(database, table) for table in ("inspection", "defect", "outbox")] == [0, 0, 0]
    assert history.record([entry("f-1")]) == [True]


def test_an_inspection_id_that_exists_is_an_error_and_no_duplicate(history: SqlHistory) -> None:
    history.record([entry("f-1", inspection_id="same")])
    with pytest.raises(StorageError):
        history.record([entry("f-2", inspection_id="same")])


def test_a_naive_time_is_refused(history: SqlHistory, database: Database) -> None:
    naive = replace(inspected("f-1"), received_at=datetime(2026, 11, 20, 12, 0))  # noqa: DTZ001
    with pytest.raises(StorageError, match="no zone"):
        history.record([Entry(naive)])
    assert count(database, "inspection") == 0


def test_times_come_back_in_utc_whatever_their_zone(history: SqlHistory, database: Database) -> None:
    tokyo = datetime(2026, 11, 20, 21, 0, 0, 123456, timezone(timedelta(hours=9)))
    year_one = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    inspection = inspected("f-1", identity=identity("f-1", captured_at=year_one))
    history.record([Entry(replace(inspection, received_at=tokyo))])
    (row,) = inspections(database)
    assert row["received_at"] == tokyo
    assert row["received_at"].tzinfo is UTC
    assert row["captured_at"] == datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["nul \x00 inside", "lone \ud800 surrogate", "long" * 4000, "漢字" * 200, "%_'\"\\"]
)
def test_a_hostile_name_still_ends_as_one_row(history: SqlHistory, database: Database, name: str) -> None:
    hostile = inspected(name, Verdict.ERROR, sku=name, reason=name, identity=identity(name, part_id=name))
    assert history.record([Entry(hostile, (message(),))]) == [True]
    assert history.record([Entry(replace(hostile, inspection_id="again"))]) == [False]
    assert history.knows(identity(name))
    assert not history.knows(identity(name + "!"))
    (row,) = inspections(database, sku=name)
    assert row["verdict"] == "ERROR"


def test_knows_and_occurrences_count_a_frame_and_those_derived_from_it(history: SqlHistory) -> None:
    others = ("A%", "ax", "a%-", "a%-x", "a%-2x", "a%.2", "a%-2-3", "A%-2", "b", "a%2")
    history.record([entry(name) for name in (*others, "a%", "a%-2", "a%-10")])
    history.record([entry("a%", camera=Camera("factory", "line-2", "cam-a"))])
    assert history.occurrences(identity("a%")) == 3
    assert history.occurrences(identity("never")) == 0
    assert history.knows(identity("a%"))
    assert not history.knows(identity("a%-3"))


def shown(content: str, frame_id: str = "f-1") -> Entry:
    """An entry of a frame that shows ``content``."""
    return entry(
        frame_id, inspection_id=content, identity=identity(frame_id, content=content_digest(content.encode()))
    )


def test_another_image_under_a_used_id_writes_nothing_and_is_named(
    history: SqlHistory, database: Database
) -> None:
    assert history.record([shown("good")]) == [True]
    with pytest.raises(FrameIdUsedError) as raised:
        history.record([shown("new", "f-2"), shown("scratched"), shown("good")])
    assert raised.value.positions == (1,)
    assert count(database, "inspection") == 1
    assert history.record([shown("good")]) == [False], "equal bytes stay one row"
    assert history.knows(shown("good").inspection.identity)
    assert not history.knows(shown("scratched").inspection.identity)


def test_a_row_under_an_id_of_its_own_names_the_sent_one(history: SqlHistory, database: Database) -> None:
    scratched = shown("scratched")
    own = scratched.inspection.identity.with_own_id()
    renamed = replace(scratched.inspection, identity=own)
    history.record([shown("good"), replace(scratched, inspection=renamed)])
    assert history.knows(scratched.inspection.identity)
    assert {(row["frame_id"], row["sent_frame_id"]) for row in inspections(database)} == {
        ("f-1", None),
        (own.frame_id, "f-1"),
    }
    assert not history.record_feedback(Feedback("good", NOON, frame_id="f-1")), "it may mean either of two"
    assert history.record_feedback(Feedback("good", NOON, frame_id=own.frame_id))


def test_a_row_of_an_older_version_is_known_by_the_file_of_its_image(
    history: SqlHistory, database: Database
) -> None:
    good = shown("good").inspection.identity
    path = f"aa/bb/{good.content}.jpg"
    history.record([entry(), entry("f-2", media=MediaPaths(image=path))])
    assert history.knows(good), "nothing is known of what its row shows"
    assert history.knows(replace(good, frame_id="f-2"))
    assert not history.knows(replace(shown("scratched").inspection.identity, frame_id="f-2"))
    for fresh in (shown("scratched"), shown("scratched", "f-2")):
        with pytest.raises(FrameIdUsedError):  # one row too many is seen, a part without a row is not
            history.record([fresh])
    assert history.record([shown("good", "f-2")]) == [False]


def test_one_frame_recorded_by_many_threads_is_new_once(history: SqlHistory, database: Database) -> None:
    start = threading.Barrier(8)

    def record(number: int) -> bool:
        start.wait()
        batch = [entry(f"f-{frame}", inspection_id=f"{number}-{frame}") for frame in range(4)]
        return history.record(batch if number % 2 else batch[::-1])[0]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))
    assert count(database, "inspection") == 4
    assert count(database, "outbox") == 4


def test_two_agents_with_connections_of_their_own_share_the_frames(database_url: str) -> None:
    with Database(database_url) as one, Database(database_url) as other:
        agents = [SqlHistory(d, agent_id=n, agent_version="1") for d, n in ((one, "a"), (other, "b"))]
        start = threading.Barrier(2)

        def record(agent: int) -> list[bool]:
            start.wait()
            return [
                agents[agent].record([entry(f"f-{n}", inspection_id=f"{agent}-{n}")])[0] for n in range(20)
            ]

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(record, range(2))
        assert all(a != b for a, b in zip(first, second, strict=True))
        sent = [SqlOutbox(one, agent_id=name).depth() for name in ("a", "b")]
        assert sent == [sum(first), sum(second)]


def test_feedback_finds_its_inspection(history: SqlHistory, database: Database) -> None:
    other = Camera("factory", "line-1", "cam-b")
    history.record([entry("f-1", inspection_id="one"), entry("f-1", camera=other), entry("f-2")])
    assert history.record_feedback(Feedback("good", NOON, inspection_id="one", by="Ada", note="fine"))
    assert history.record_feedback(Feedback("good", NOON, frame_id="f-1", camera=str(CAMERA)))
    assert history.record_feedback(Feedback("defective", NOON, frame_id="f-2"))
    assert not history.record_feedback(Feedback("good", NOON, frame_id="f-1")), "two cameras have an f-1"
    assert history.feedback_matches(Feedback("good", NOON, frame_id="f-1")) == 2
    assert history.feedback_matches(Feedback("good", NOON, frame_id="f-1", camera=str(CAMERA))) == 1
    assert history.feedback_matches(Feedback("good", NOON, frame_id="f-1", camera="no/camera")) == 0
    assert not history.record_feedback(Feedback("good", NOON, frame_id="f-2", camera=str(other)))
    assert not history.record_feedback(Feedback("good", NOON, frame_id="f-2", camera="no/camera"))
    assert not history.record_feedback(Feedback("good", NOON, inspection_id="none"))
    assert count(database, "feedback") == 3


def test_an_event_keeps_its_details(history: SqlHistory, database: Database) -> None:
    details: dict[str, str | int | float | None] = {
        "count": 3,
        "rate": float("nan"),
        "text": "a\x00b\ud800",
        "none": None,
        "share": 0.5,
    }
    history.record_event(
        Event("frames_skipped", "3 frames skipped", NOON, str(CAMERA), "bolt", details, "warning")
    )
    with database.read() as connection:
        row = connection.execute(select(schema.event)).mappings().one()
    expected = {"count": 3, "rate": "nan", "text": "a\\x00b\\ud800", "none": None, "share": 0.5}
    assert row["details"] == expected
    assert (row["kind"], row["severity"], row["camera"]) == (
        "frames_skipped",
        "warning",
        "factory/line-1/cam-a",
    )
    assert (row["occurred_at"], row["agent_id"]) == (NOON, "cell-7")


def test_nothing_to_record_is_nothing_done(history: SqlHistory) -> None:
    assert list(history.record([])) == []


def test_an_event_and_its_messages_are_written_together_or_not_at_all(
    history: SqlHistory, outbox: SqlOutbox, database: Database
) -> None:
    event = Event("command", "recipe.list: done", NOON)
    reply = replace(message(), kind="reply", correlation_data=b"7")
    history.record_event(event, (reply,))
    assert [stored.message for stored in outbox.pending(9)] == [reply]
    with pytest.raises(StorageError):
        history.record_event(replace(event, severity="fatal"), (reply,))
    with pytest.raises(StorageError):
        history.record_event(event, (replace(reply, destination=None),))  # type: ignore[arg-type]
    assert (outbox.depth(), count(database, "event")) == (1, 1)
