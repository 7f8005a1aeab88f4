"""On a full disk an image goes as soon as its row is written, however fresh it is; never before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.domain.inspection import MediaPaths
from agent.ports import Entry, Pruned
from storage import Database, MediaFolder, SqlHistory, SqlRetention
from storage.pending_media import PendingMedia
from tests.storage.examples import inspected

CONTENT = b"an image"


class Line:
    """Files and rows of the last second."""

    def __init__(self, database: Database, folder: Path, media: MediaFolder | None = None) -> None:
        self.media = media or MediaFolder(folder)
        self.history = SqlHistory(database, agent_id="a", agent_version="1", media=self.media)
        self.retention = SqlRetention(database, self.media)

    def record(self, frame: str, path: str) -> None:
        one = inspected(frame, media=MediaPaths(image=path), inspection_id=frame)
        assert self.history.record([Entry(one)]) == [True]

    def frame(self, frame: str, content: bytes = CONTENT) -> str:
        path = self.media.put(content, "jpg")
        self.record(frame, path)
        return path

    def release(self) -> Pruned:
        return self.retention.release(["PASS"], lambda: False, now=datetime.now(UTC))


@pytest.fixture
def line(database: Database, tmp_path: Path) -> Line:
    return Line(database, tmp_path / "media")


def there(line: Line, path: str) -> bool:
    return line.media.modified(path) is not None


def test_a_fresh_image_goes_once_its_row_is_written(line: Line) -> None:
    paths = [line.frame(f"f-{number}", b"%d" % number) for number in range(50)]
    assert line.release() == Pruned(rows=50, files=50, bytes=90)
    assert not any(there(line, path) for path in paths)


def test_a_image_of_several_rows_goes_with_all_of_them(line: Line) -> None:
    path = line.frame("f-1")
    assert line.frame("f-2") == line.frame("f-3") == path
    assert line.release() == Pruned(rows=3, files=1, bytes=len(CONTENT))


def test_it_stays_while_the_row_of_another_frame_is_yet_to_come(line: Line) -> None:
    path = line.frame("f-1")
    with ThreadPoolExecutor(1) as other:
        assert other.submit(line.media.put, CONTENT, "jpg").result() == path
        line.media.settle([path])  # says nothing for the other thread
        assert line.release() == Pruned()
        other.submit(line.record, "f-2", path).result()
    assert line.release() == Pruned(rows=2, files=1, bytes=len(CONTENT))


def test_it_stays_while_it_may_become_a_reference(line: Line) -> None:
    path = line.frame("f-1")
    assert line.media.renew(path)
    assert line.release() == Pruned()
    assert there(line, path)


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_it_stays_where_another_process_stored_it_too(line: Line, tmp_path: Path, first: str) -> None:
    elsewhere = MediaFolder(tmp_path / "media")
    if first == "theirs":
        elsewhere.put(CONTENT, "jpg")
    path = line.frame("f-1")
    if first == "ours":
        elsewhere.put(CONTENT, "jpg")
    assert line.release() == Pruned()
    assert there(line, path)


def test_it_stays_where_no_row_could_be_written_for_it(line: Line, database: Database) -> None:
    path = line.frame("f-1")
    line.media.put(CONTENT, "jpg")
    one = inspected("f-2", media=MediaPaths(image=path), inspection_id="f-1")  # that id is taken
    with pytest.raises(Exception, match="refused"):
        line.history.record([Entry(one)])
    assert line.release() == Pruned()
    assert there(line, path)


class _Interrupted(MediaFolder):
    """Something happens just before a file is deleted, when everything has been looked at."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def remove(self, path: str, before: float, mark: int | None = None) -> int | None:
        self.before()
        return super().remove(path, before, mark)


def test_a_row_that_is_written_while_it_is_about_to_go_keeps_it(database: Database, tmp_path: Path) -> None:
    media = _Interrupted(tmp_path / "media")
    line = Line(database, tmp_path / "media", media)
    path = line.frame("f-1")
    # Stored and recorded within one tick of the file system's clock, as far as that can be.
    media.before = lambda: line.frame("f-2")
    assert line.retention.release(["PASS"], _second_time(), now=datetime.now(UTC)) == Pruned(rows=1)
    assert line.media.get(path) == CONTENT


def _second_time() -> Callable[[], bool]:
    answers = iter([False])
    return lambda: next(answers, True)


def test_so_many_files_are_remembered_and_no_more() -> None:
    settled = PendingMedia()
    for number in range(10_000):
        path = f"{number}"
        settled.begin(path, None)
        settled.stored(path, number)
        settled.settle([path])
    known = [number for number in range(10_000) if settled.mark(f"{number}", number) is not None]
    assert 1_000 < len(known) < 5_000
    assert known[-1] == 9_999
