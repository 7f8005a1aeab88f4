"""Exported graphs on disk: whole or not at all, damaged ones made anew, bounded."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from adapters.models.kept_files import KeptFiles

KEYS = ["a" * 64, "b" * 64, "c" * 64]


def test_what_was_put_is_there_under_its_own_key(tmp_path: Path) -> None:
    store = KeptFiles(tmp_path / "not" / "there", ".onnx")
    assert store.get(KEYS[0]) is None
    store.put(KEYS[0], b"one")
    store.put(KEYS[1], b"two")
    assert (store.get(KEYS[0]), store.get(KEYS[1]), store.get(KEYS[2])) == (b"one", b"two", None)
    assert KeptFiles(tmp_path / "not" / "there", ".onnx").get(KEYS[0]) == b"one"


@pytest.mark.parametrize("content", [b"", b"on", b"onf"])
def test_a_damaged_file_is_removed_and_another_takes_its_place(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = KeptFiles(tmp_path, ".onnx")
    store.put(KEYS[0], b"one")
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.get(KEYS[0]) is None
    assert "is damaged and is made anew" in caplog.text
    assert not path.exists()
    store.put(KEYS[0], b"one")
    assert store.get(KEYS[0]) == b"one"


def test_beyond_the_limit_those_go_that_were_used_longest_ago(tmp_path: Path) -> None:
    store = KeptFiles(tmp_path, ".onnx", limit_bytes=8)
    for age, key in enumerate(KEYS[:2]):
        store.put(key, b"1234")
        (path,) = tmp_path.glob(f"{key[:8]}*")
        os.utime(path, ns=(10 + age, 10 + age))
    assert store.get(KEYS[0]) == b"1234", "now the second is the one that was used longest ago"
    store.put(KEYS[2], b"1234")
    assert [store.get(key) is not None for key in KEYS] == [True, False, True]
    store.put(KEYS[1], b"12345678901234")
    assert [store.get(key) is not None for key in KEYS] == [False, True, False], "the newest one always stays"


def test_what_an_interrupted_export_left_counts_too(tmp_path: Path) -> None:
    left = tmp_path / ".0123.onnx"
    left.write_bytes(b"12345678")
    os.utime(left, ns=(1, 1))
    KeptFiles(tmp_path, ".onnx", limit_bytes=8).put(KEYS[0], b"1234")
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = KeptFiles(tmp_path / "file", ".onnx")
    with caplog.at_level(logging.WARNING):
        store.put(KEYS[0], b"one")
    assert "models.cache names another folder" in caplog.text
    assert store.get(KEYS[0]) is None
