"""DiskSync: what it returns from is on the disk, and it never leaves a sync under way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.disk_sync import DiskSync


def test_files_and_folders_are_synced_and_counted(tmp_path: Path) -> None:
    sync = DiskSync()
    files = [(tmp_path / str(number)).open("wb") for number in range(20)]
    sync.all([file.fileno() for file in files])
    sync.all([files[0].fileno()])
    sync.folders({tmp_path, tmp_path.parent})
    assert sync.count == 23
    for file in files:
        file.close()


@pytest.mark.parametrize("neighbours", [0, 20])
def test_a_sync_that_fails_is_raised_after_the_others_have_ended(tmp_path: Path, neighbours: int) -> None:
    reading, writing = os.pipe()  # a pipe cannot be synced
    files = [(tmp_path / str(number)).open("wb") for number in range(neighbours)]
    with pytest.raises(OSError, match="Invalid argument"):
        DiskSync().all([writing, *(file.fileno() for file in files)])
    for file in files:
        file.close()  # nobody syncs them any more: their numbers may be given to other files
    os.close(reading)
    os.close(writing)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DiskSync().folders([tmp_path, tmp_path / "none"])
