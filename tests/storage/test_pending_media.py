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


class Rows:
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
def recorded(database: Database, tmp_path: Path) -> Rows:
    return Rows(database, tmp_path / "media")


def there(recorded: Rows, path: str) -> bool:
    return recorded.media.modified(path) is not None


def test_a_fresh_image_goes_once_its_row_is_written(recorded: Rows) -> None:
    paths = [recorded.frame(f"f-{number}", b"%d" % number) for number in range(50)]
    assert recorded.release() == Pruned(rows=50, files=50, bytes=90)
    assert not any(there(recorded, path) for path in paths)


def test_an_image_of_several_rows_goes_with_all_of_them(recorded: Rows) -> None:
    path = recorded.frame("f-1")
    assert recorded.frame("f-2") == recorded.frame("f-3") == path
    assert recorded.release() == Pruned(rows=3, files=1, bytes=len(CONTENT))


def test_it_stays_while_the_row_of_another_frame_is_yet_to_come(recorded: Rows) -> None:
    path = recorded.frame("f-1")
    with ThreadPoolExecutor(1) as other:
        assert other.submit(recorded.media.put, CONTENT, "jpg").result() == path
        recorded.media.settle([path])  # another thread's file is not meant
        assert recorded.release() == Pruned()
        other.submit(recorded.record, "f-2", path).result()
    assert recorded.release() == Pruned(rows=2, files=1, bytes=len(CONTENT))


def test_it_stays_while_it_may_become_a_reference(recorded: Rows) -> None:
    path = recorded.frame("f-1")
    assert recorded.media.renew(path)
    assert recorded.release() == Pruned()
    assert there(recorded, path)


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_it_stays_where_another_process_stored_it_too(recorded: Rows, tmp_path: Path, first: str) -> None:
    elsewhere = MediaFolder(tmp_path / "media")
    if first == "theirs":
        elsewhere.put(CONTENT, "jpg")
    path = recorded.frame("f-1")
    if first == "ours":
        elsewhere.put(CONTENT, "jpg")
    assert recorded.release() == Pruned()
    assert there(recorded, path)


def test_it_stays_where_no_row_could_be_written_for_it(recorded: Rows, database: Database) -> None:
    path = recorded.frame("f-1")
    recorded.media.put(CONTENT, "jpg")
    one = inspected("f-2", media=MediaPaths(image=path), inspection_id="f-1")  # that id is taken
    with pytest.raises(Exception, match="refused"):
        recorded.history.record([Entry(one)])
    assert recorded.release() == Pruned()
    assert there(recorded, path)


class _Interrupted(MediaFolder):
    """Something happens just before a file is deleted, when everything has been looked at."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def remove(self, path: str, before: float, mark: int | None = None) -> int | None:
        self.before()
        return super().remove(path, before, mark)


def test_a_row_that_is_written_while_it_is_about_to_go_keeps_it(database: Database, tmp_path: Path) -> None:
    media = _Interrupted(tmp_path / "media")
    recorded = Rows(database, tmp_path / "media", media)
    path = recorded.frame("f-1")
    # Stored and recorded within one tick of the file system's clock, as far as that can be.
    media.before = lambda: recorded.frame("f-2")
    assert recorded.retention.release(["PASS"], _second_time(), now=datetime.now(UTC)) == Pruned(rows=1)
    assert recorded.media.get(path) == CONTENT


def _second_time() -> Callable[[], bool]:
    answers = iter([False])
    return lambda: next(answers, True)


def test_so_many_files_are_remembered_and_no_more() -> None:
    pending = PendingMedia()
    for number in range(10_000):
        path = f"{number}"
        pending.begin(path, None)
        pending.stored(path, number)
        pending.settle([path])
    known = [number for number in range(10_000) if pending.mark(f"{number}", number) is not None]
    assert 1_000 < len(known) < 5_000
    assert known[-1] == 9_999
