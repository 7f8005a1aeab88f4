"""Images go by age and verdict; rows stay, and no row ever names a file that is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import ColumnElement, select, text

from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.inspection import MediaPaths
from agent.domain.recipe import Reference
from agent.domain.verdict import Verdict
from agent.ports import Entry, Pruned, Retention
from storage import Database, MediaFolder, SqlHistory, SqlOutbox, SqlRecipeBook, SqlRetention, schema
from storage.views import VIEWS
from tests.storage.examples import NOON, bolt_recipe, inspected, message

DAY = timedelta(days=1)
PASS, FAIL = Verdict.PASS, Verdict.FAIL
KEEP = {"PASS": 7 * DAY, "FAIL": 90 * DAY, "REVIEW": 90 * DAY, "ERROR": 30 * DAY}


class Shop:
    """A history with images of any age."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.media = MediaFolder(folder)
        self.history = SqlHistory(database, agent_id="cell-7", agent_version="1.2.3")
        self.retention: Retention = SqlRetention(database, self.media)
        self.now = datetime.now(UTC)

    def store(self, content: bytes, age: timedelta, suffix: str = "jpg") -> str:
        path = self.media.put(content, suffix)
        at = (self.now - age).timestamp()
        os.utime(self.folder / path, (at, at))
        return path

    def record(self, frame: str, verdict: Verdict, age: timedelta, media: MediaPaths) -> None:
        minutes = (self.now - age - NOON) / timedelta(minutes=1)
        one = inspected(frame, verdict, minutes=minutes, media=media, inspection_id=frame)
        assert self.history.record([Entry(one)]) == [True]

    def frame(
        self, frame: str, age: timedelta, verdict: Verdict = Verdict.PASS, content: bytes | None = None
    ) -> str:
        """A frame of that age with an image of its own, or with ``content``."""
        path = self.store(frame.encode() if content is None else content, age)
        self.record(frame, verdict, age, MediaPaths(image=path))
        return path

    def prune(self, **options: Any) -> Pruned:
        return self.retention.prune(self.now, options.pop("keep", KEEP), **options)

    def images(self) -> dict[str, str | None]:
        with self.database.read() as connection:
            table = schema.inspection.c
            rows = connection.execute(select(table.inspection_id, table.image_path))
            return {row[0]: row[1] for row in rows}

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path / "media")


def test_each_verdict_has_its_age(shop: Shop) -> None:
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.REVIEW, Verdict.ERROR):
        for days in (6, 8, 29, 31, 89, 91):
            shop.frame(f"{verdict}-{days}", days * DAY, verdict)
    pruned = shop.prune()
    stay = {"PASS-6", "ERROR-6", "ERROR-8", "ERROR-29"}
    stay |= {f"{verdict}-{days}" for verdict in ("FAIL", "REVIEW") for days in (6, 8, 29, 31, 89)}
    images = shop.images()
    assert len(images) == 24, "rows stay"
    assert {frame for frame, path in images.items() if path is not None} == stay
    assert shop.files() == {path for path in images.values() if path is not None}
    gone = set(images) - stay
    assert pruned == Pruned(rows=len(gone), files=len(gone), bytes=sum(map(len, gone)))
    assert shop.prune() == Pruned()


def test_masks_and_overlays_go_with_their_frame(shop: Shop) -> None:
    age = 91 * DAY
    media = MediaPaths(shop.store(b"i", age), shop.store(b"m", age, "png"), shop.store(b"o", age))
    shop.record("f", Verdict.FAIL, age, media)
    assert shop.prune() == Pruned(rows=1, files=3, bytes=3)
    with shop.database.read() as connection:
        columns = "image_path, mask_path, overlay_path, score, verdict, width"
        row = connection.execute(text(f"SELECT {columns} FROM inspection")).one()  # noqa: S608
        assert tuple(row) == (None, None, None, None, "FAIL", None)
        for view in VIEWS:
            connection.execute(text(f"SELECT * FROM {view}")).all()  # noqa: S608
        assert connection.execute(text("SELECT image_path FROM inspection_history")).all() == [(None,)]


@pytest.mark.parametrize("keep", [{**KEEP, "PASS": None}, {"FAIL": DAY}])
def test_without_an_age_images_stay_for_ever(shop: Shop, keep: dict[str, timedelta | None]) -> None:
    path = shop.frame("old", 20_000 * DAY)
    assert shop.prune(keep=keep) == Pruned()
    assert shop.images() == {"old": path}
    assert shop.files() == {path}


@pytest.mark.parametrize("role", ["image", "mask", "overlay"])
def test_an_image_stays_while_another_row_names_it(shop: Shop, role: str) -> None:
    shared = shop.frame("old", 8 * DAY, content=b"shared")
    shop.record("young", Verdict.FAIL, 80 * DAY, MediaPaths(**{role: shared}))
    assert shop.prune() == Pruned(rows=1)
    assert shop.media.get(shared) == b"shared"
    shop.now += 11 * DAY
    assert shop.prune() == Pruned(rows=1, files=1, bytes=6)
    assert shop.files() == set()


@pytest.mark.parametrize("held", [True, False])
def test_an_image_stays_while_a_reference_names_it(shop: Shop, book: SqlRecipeBook, held: bool) -> None:
    path = shop.frame("old", 8 * DAY)
    reference = Reference(Path(path).stem, path, "good-1.jpg")
    if held:
        book.hold_reference("bolt", reference)
    else:
        book.add(bolt_recipe(references=(reference,)))
    assert shop.prune() == Pruned(rows=1)
    assert shop.images() == {"old": None}
    assert shop.media.get(path) == b"old"


def test_equal_images_of_several_chunks_go_once(shop: Shop) -> None:
    for number in range(5):
        shop.frame(f"f-{number}", 8 * DAY, content=b"the same")
    assert shop.prune(chunk=2) == Pruned(rows=5, files=1, bytes=8)


@pytest.mark.parametrize("chunk", [1, 3, 25, 26, 1000])
def test_chunks_of_any_size_reach_every_row(shop: Shop, chunk: int) -> None:
    for number in range(25):  # three of each age: the walk goes on within one moment, too
        shop.frame(f"f-{number}", (8 + number // 3) * DAY)
    young = shop.frame("young", DAY)
    assert shop.prune(chunk=chunk).rows == 25
    assert shop.files() == {young}


def test_a_chunk_has_rows(shop: Shop) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        shop.prune(chunk=0)


def test_on_a_stop_it_ends_what_it_began_and_goes_on_next_time(shop: Shop) -> None:
    for number in range(5):
        shop.frame(f"f-{number}", (20 - number) * DAY)
    answers = iter([False, False, True])
    pruned = shop.prune(chunk=1, stop=lambda: next(answers, True))
    assert (pruned.rows, pruned.files) == (2, 2)
    images = shop.images()
    assert [images[f"f-{number}"] is None for number in range(5)] == [True, True, False, False, False]
    assert shop.files() == {path for path in images.values() if path is not None}
    assert shop.prune().rows == 3


def test_a_file_that_is_gone_already_is_counted(shop: Shop) -> None:
    (shop.folder / shop.frame("lost", 8 * DAY)).unlink()
    shop.frame("there", 8 * DAY)
    assert shop.prune() == Pruned(rows=2, files=1, bytes=5, missing=1)


def test_a_path_from_elsewhere_is_never_touched(shop: Shop, tmp_path: Path) -> None:
    outside = tmp_path / "precious.jpg"
    outside.write_bytes(b"precious")
    for number, path in enumerate(["../precious.jpg", str(outside)]):
        shop.record(f"f-{number}", Verdict.PASS, 8 * DAY, MediaPaths(image=path))
    assert shop.prune() == Pruned(rows=2, missing=2)
    assert outside.read_bytes() == b"precious"


def test_a_file_that_the_disk_keeps_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    path = shop.frame("stuck", 8 * DAY)
    (shop.folder / path).unlink()
    (shop.folder / path).mkdir()
    (shop.folder / path / "inside").touch()
    os.utime(shop.folder / path, (1, 1))
    shop.frame("free", 8 * DAY)
    assert shop.prune() == Pruned(rows=2, files=1, bytes=4, failed=1)
    assert f"the media file {path} cannot be deleted" in caplog.text


def test_rows_change_before_files_go(shop: Shop) -> None:
    path = shop.frame("old", 8 * DAY)
    seen = []

    def look() -> bool:
        seen.append((shop.images()["old"], shop.files()))
        return False

    shop.prune(stop=look)
    assert seen[0] == (path, {path})
    assert set(map(repr, seen[1:])) == {repr((None, {path}))}
    assert shop.files() == set()


@pytest.mark.parametrize("recorded_in_between", [True, False])
def test_an_image_that_is_stored_again_meanwhile_stays(shop: Shop, recorded_in_between: bool) -> None:
    old = shop.frame("old", 8 * DAY, content=b"again")
    asked = 0

    def come_back() -> bool:
        """The second time it is asked, the row has let go and the file is still there."""
        nonlocal asked
        asked += 1
        if asked == 2:
            assert shop.media.put(b"again", "jpg") == old
            if recorded_in_between:
                shop.record("new", Verdict.PASS, timedelta(0), MediaPaths(image=old))
        return False

    assert shop.prune(stop=come_back) == Pruned(rows=1)
    assert shop.media.get(old) == b"again"
    if not recorded_in_between:
        shop.record("new", Verdict.PASS, timedelta(0), MediaPaths(image=old))
    assert shop.prune() == Pruned()
    assert shop.images() == {"old": None, "new": old}


def test_an_image_younger_than_an_hour_waits_for_the_next_run(shop: Shop) -> None:
    path = shop.frame("young", timedelta(minutes=30))
    assert shop.prune(keep={"PASS": timedelta(0)}) == Pruned()
    assert shop.images() == {"young": path}
    shop.now += timedelta(hours=1)
    assert shop.prune(keep={"PASS": timedelta(0)}) == Pruned(rows=1, files=1, bytes=5)


def test_a_row_that_was_written_late_is_found_by_the_next_run(shop: Shop) -> None:
    shop.frame("old", 8 * DAY)
    shop.prune()
    shop.frame("late", 7.5 * DAY)
    assert shop.prune().rows == 1


def test_a_writer_and_two_agents_that_prune_leave_no_row_without_its_file(shop: Shop) -> None:
    """Few images, each of many rows, half of them past their time, while rows are still written."""
    contents = [bytes([number]) * 10 for number in range(8)]
    for number in range(60):
        shop.frame(f"old-{number}", 8 * DAY, content=contents[number % 8])

    def write() -> None:
        for number in range(60):
            path = shop.media.put(contents[number * 5 % 8], "jpg")
            shop.record(f"new-{number}", Verdict.PASS, timedelta(0), MediaPaths(image=path))

    other = SqlRetention(shop.database, MediaFolder(shop.folder))
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(one.prune, shop.now, KEEP, 3) for one in (shop.retention, other)]
        pool.submit(write).result()
        assert sum(run.result().rows for run in runs) == 60
    images = shop.images()
    assert all((path is None) == frame.startswith("old") for frame, path in images.items())
    for path in set(images.values()) - {None}:
        shop.media.get(str(path))


def test_removing_and_storing_at_once_always_leaves_the_file(tmp_path: Path) -> None:
    media = MediaFolder(tmp_path)
    hour_ago = datetime.now(UTC).timestamp() - 3600
    with ThreadPoolExecutor(2) as pool:
        for number in range(60):
            content = str(number).encode()
            path = media.put(content, "png")
            os.utime(tmp_path / path, (1, 1))
            removed = pool.submit(media.remove, path, hour_ago)
            pool.submit(media.put, content, "png").result()
            assert removed.result() in (None, len(content))
            assert media.get(path) == content
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_once_there_is_room_no_other_verdict_pays_for_what_takes_it_meanwhile(shop: Shop) -> None:
    kept = {name: shop.frame(name, 8 * DAY, verdict) for name, verdict in (("f", FAIL), ("p2", PASS))}
    shop.frame("p1", 9 * DAY, PASS)
    answers = iter([False, True])
    assert shop.retention.release([PASS, FAIL], lambda: next(answers, False), now=shop.now, chunk=1).rows == 1
    assert shop.images() == {"p1": None, **kept}


def test_where_a_chunk_is_refused_the_files_of_those_before_it_are_gone(shop: Shop) -> None:
    first = shop.frame("first", 9 * DAY)
    second = shop.frame("second", 8 * DAY)
    answers = iter([False])

    def break_down() -> bool:
        if next(answers, True):
            raise StorageError("the database refused")
        return False

    with pytest.raises(StorageError, match="refused"):
        shop.prune(chunk=1, stop=break_down)
    assert shop.images() == {"first": None, "second": second}
    assert shop.files() == {second} != {first}


def test_a_database_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'empty.db'}") as database:
        retention = SqlRetention(database, MediaFolder(tmp_path / "media"))
        with pytest.raises(StorageError, match="db upgrade"):
            retention.prune(NOON, KEEP)


def test_a_writer_goes_on_between_any_two_chunks(shop: Shop) -> None:
    """While the retention rests it holds no lock: somebody else's frame is written each time, at once."""
    for number in range(12):
        shop.frame(f"old-{number}", 8 * DAY)
    before_each: list[int] = []

    def rest(_seconds: float) -> None:
        name = f"new-{len(before_each)}"
        with ThreadPoolExecutor(1) as pool:
            pool.submit(shop.record, name, Verdict.PASS, timedelta(0), MediaPaths()).result(timeout=20)
        before_each.append(sum(path is not None for path in shop.images().values()))

    retention = SqlRetention(shop.database, shop.media, rest=rest)
    assert retention.prune(shop.now, KEEP, chunk=3).rows == 12
    assert before_each == [9, 6, 3, 0], "a chunk is as large as its argument"
    assert len(shop.images()) == 16


def test_it_rests_as_long_as_it_worked_and_no_longer_than_a_second(shop: Shop) -> None:
    rests: list[float] = []
    for number in range(4):
        shop.frame(f"old-{number}", 8 * DAY)
    SqlRetention(shop.database, shop.media, rest=rests.append).prune(shop.now, KEEP, chunk=2)
    assert len(rests) == 2
    assert all(0.0 < rest <= 1.0 for rest in rests)


def event(shop: Shop, age: timedelta) -> None:
    shop.history.record_event(Event("job", f"{age.days} days ago", shop.now - age))


def left(shop: Shop, column: ColumnElement[Any]) -> list[Any]:
    with shop.database.read() as connection:
        return list(connection.execute(select(column).order_by(column)).scalars())


def test_events_go_when_their_time_is_over(shop: Shop) -> None:
    for days in (1, 300, 364, 366, 400, 500):
        event(shop, days * DAY)
    shop.frame("old", 3000 * DAY)
    pruned = shop.retention.prune_rows(shop.now, 365 * DAY, None, chunk=2)
    assert pruned == Pruned(events=3)
    assert left(shop, schema.event.c.message) == ["1 days ago", "300 days ago", "364 days ago"]
    assert shop.retention.prune_rows(shop.now, None, None) == Pruned()
    assert len(shop.images()) == 1, "inspections stay for ever"


def test_sent_messages_go_and_those_that_wait_stay_whatever_their_age(shop: Shop) -> None:
    outbox = SqlOutbox(shop.database, agent_id="cell-7")
    shop.history.record([Entry(inspected(f"f-{number}"), (message(),)) for number in range(6)])
    pending = [one.id for one in outbox.pending(10)]
    outbox.mark_sent(pending[:4])
    week, later = 7 * DAY, shop.now + 6 * DAY
    assert shop.retention.prune_rows(later, None, week) == Pruned()
    assert shop.retention.prune_rows(shop.now + 8 * DAY, None, None) == Pruned()
    assert shop.retention.prune_rows(shop.now + 8 * DAY, None, week, chunk=3) == Pruned(messages=4)
    assert left(shop, schema.outbox.c.id) == pending[4:]
    assert outbox.depth() == 2


def test_the_newest_of_what_came_before(shop: Shop) -> None:
    assert shop.retention.newest_before(shop.now) is None
    shop.record("f", Verdict.PASS, 10 * DAY, MediaPaths())
    event(shop, 8 * DAY)
    event(shop, 1 * DAY)
    at = shop.retention.newest_before(shop.now - 2 * DAY)
    assert at is not None
    assert abs(at - (shop.now - 8 * DAY)) < timedelta(seconds=1)
    at = shop.retention.newest_before(shop.now - 9 * DAY)
    assert at is not None
    assert abs(at - (shop.now - 10 * DAY)) < timedelta(seconds=1)


def test_a_file_from_before_the_clock_was_set_back_is_not_fresh(shop: Shop) -> None:
    path = shop.frame("old", 8 * DAY)
    ahead = shop.now.timestamp() + 400 * 86_400
    os.utime(shop.folder / path, (ahead, ahead))
    assert shop.prune() == Pruned(rows=1, files=1, bytes=3)


def plan(shop: Shop, run: Callable[[], object]) -> list[str]:
    """How SQLite goes about each SELECT that ``run`` makes."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM sqlite" not in statement:
            statements.append((statement, parameters))

    sqlalchemy.event.listen(shop.database.engine, "before_cursor_execute", note)
    try:
        run()
    finally:
        sqlalchemy.event.remove(shop.database.engine, "before_cursor_execute", note)
    with shop.database.read() as connection:
        return [
            row[-1]
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def test_no_query_of_the_retention_reads_the_whole_history(shop: Shop) -> None:
    """A history of years has millions of rows, nearly all of them without images."""
    if not shop.database.is_sqlite:
        pytest.skip("PostgreSQL plans by how many rows there are; SQLite's plan shows the indexes")
    for number in range(5):
        shop.frame(f"old-{number}", 8 * DAY)

    def run() -> None:
        shop.prune(chunk=2)
        shop.retention.prune_rows(shop.now, DAY, DAY)
        shop.retention.newest_before(shop.now)
        shop.retention.release(["PASS"], lambda: False, now=shop.now)

    steps = plan(shop, run)
    assert steps != []
    assert [step for step in steps if step.startswith("SCAN")] == []
    assert [step for step in steps if "TEMP B-TREE" in step] == []
