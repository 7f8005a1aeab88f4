"""MediaFolder: files by their content, whole or not there."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import StorageError
from agent.ports import MediaFile
from storage import MediaFolder


@pytest.fixture
def media(tmp_path: Path) -> MediaFolder:
    return MediaFolder(tmp_path / "media")


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("suffix", ["png", ".png"])
def test_a_file_is_named_after_its_content(media: MediaFolder, tmp_path: Path, suffix: str) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    path = media.put(b"content", suffix)
    assert path == f"{digest[:2]}/{digest[2:4]}/{digest}.png"
    assert media.get(path) == b"content"
    assert files(tmp_path) == [tmp_path / "media" / path]


def test_equal_bytes_are_written_once(media: MediaFolder, tmp_path: Path) -> None:
    path = tmp_path / "media" / media.put(b"content", "png")
    os.utime(path, ns=(1, 1))
    file = path.stat().st_ino
    media.put(b"content", "png")
    assert path.stat().st_ino == file
    assert path.stat().st_mtime_ns > 1, "the retention sees that somebody needs it again"


def test_a_torn_file_is_written_anew(media: MediaFolder, tmp_path: Path) -> None:
    path = media.put(b"content", "png")
    (tmp_path / "media" / path).write_bytes(b"con")
    assert media.put(b"content", "png") == path
    assert media.get(path) == b"content"


def test_a_file_that_was_changed_or_lost_is_an_error(media: MediaFolder, tmp_path: Path) -> None:
    path = media.put(b"content", "png")
    (tmp_path / "media" / path).write_bytes(b"CONTENT")
    with pytest.raises(StorageError, match="was changed"):
        media.get(path)
    (tmp_path / "media" / path).unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        media.get(path)


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "ab/../../secret.png", "", "ab/cd/x.png", "secret.png\n"]
)
def test_paths_that_are_not_ours_are_refused(media: MediaFolder, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(StorageError, match="not a path of the media folder"):
        media.get(path)


@given(path=st.text())
def test_no_other_text_is_ever_a_path(path: str) -> None:
    media = MediaFolder.__new__(MediaFolder)  # get() must refuse before it looks at any folder
    with pytest.raises(StorageError, match="not a path"):
        media.get(path)


@pytest.mark.parametrize("suffix", ["", "../x", "p/g", "PNG", "tar.gz", "png\n", "a" * 9])
def test_odd_suffixes_are_refused(media: MediaFolder, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(StorageError, match="not a file suffix"):
        media.put(b"content", suffix)
    assert files(tmp_path) == []


def test_many_threads_store_the_same_bytes(media: MediaFolder, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda n: media.put(b"content %d" % (n % 4), "png"), range(64)))
    assert len(paths) == 4
    assert len(files(tmp_path)) == 4


def test_leftovers_of_a_killed_agent_go_and_fresh_ones_stay(tmp_path: Path) -> None:
    MediaFolder(tmp_path)
    old, fresh = tmp_path / ".incoming" / "old", tmp_path / ".incoming" / "fresh"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    MediaFolder(tmp_path)
    assert files(tmp_path) == [fresh]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"media folder .* cannot be used"):
        MediaFolder(tmp_path / "file")


def test_files_are_stored_together_and_named_in_their_order(media: MediaFolder, tmp_path: Path) -> None:
    known, torn = media.put(b"known", "png"), media.put(b"torn", "png")
    (tmp_path / "media" / torn).write_bytes(b"to")
    before = media.syncs
    contents = [b"new", b"known", b"torn", b"another", b"new"]
    paths = media.put_all([MediaFile(content, "png") for content in contents])
    assert [media.get(path) for path in paths] == contents
    assert (paths[1], paths[2], paths[4]) == (known, torn, paths[0])
    assert len(files(tmp_path)) == 4
    assert media.syncs - before == 6, "three files and their folders; what is there is not written again"
    assert media.put_all([]) == []


def test_one_bad_suffix_among_many_stores_nothing(media: MediaFolder, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a file suffix"):
        media.put_all([MediaFile(b"good", "png"), MediaFile(b"bad", "../x")])
    assert files(tmp_path) == []


def test_files_that_cannot_all_be_written_leave_no_half_of_one(media: MediaFolder, tmp_path: Path) -> None:
    blocked = hashlib.sha256(b"blocked").hexdigest()
    place = tmp_path / "media" / blocked[:2] / blocked[2:4] / f"{blocked}.png"
    place.mkdir(parents=True)  # a folder is where the file should be
    (place / "full").touch()
    with pytest.raises(StorageError, match="one of 3 files cannot be written"):
        media.put_all([MediaFile(content, "png") for content in (b"first", b"blocked", b"last")])
    assert not files(tmp_path / "media" / ".incoming")
    for found in files(tmp_path / "media"):
        if found.name != "full":
            assert hashlib.sha256(found.read_bytes()).hexdigest() == found.name.partition(".")[0]
