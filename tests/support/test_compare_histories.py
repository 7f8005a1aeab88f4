"""The script that compares two histories row by row."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.compare_histories import main

SCHEMA = """
    CREATE TABLE inspection_history (
        site, line, camera, frame_id, inspection_id, sku, verdict, score, threshold, recipe_version, method,
        defect_labels, image_path, mask_path, overlay_path
    );
    CREATE TABLE defect (
        inspection_id, defect_index, score, bbox_x, bbox_y, bbox_width, bbox_height, area_px
    );
"""
OLD = Path(__file__).parents[1] / "storage" / "old"
FRAMES: Sequence[tuple[str, float]] = (("frame-1", 0.25), ("frame-2", 0.5))


def history(path: Path, frames: Sequence[tuple[str, float]] = FRAMES, area: int = 40) -> Path:
    """What the script reads of a history: the view and the defects."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA)
        for index, (frame_id, score) in enumerate(frames):
            inspection = f"{path.stem}-{index}"
            row = ("factory", "line-1", "cam-1", frame_id, inspection, "A", "FAIL", score, 0.2, 1)
            more = ("sightline", "dent", "a.png", "m.png", None)
            database.execute(
                "INSERT INTO inspection_history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, *more),
            )
            database.execute("INSERT INTO defect VALUES (?, 0, ?, 1, 2, 3, 4, ?)", (inspection, score, area))
    return path


def test_equal_rows_differ_in_ids_and_in_the_stamp_of_the_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = history(tmp_path / "one.db", [(f"20261101T120000-{name}", score) for name, score in FRAMES])
    other = history(tmp_path / "other.db", [(f"20261102T130000-{name}", score) for name, score in FRAMES])
    assert main([str(one), str(other)]) == 0
    assert capsys.readouterr().out == "2 equal rows, 0 different rows\n"


def test_each_difference_is_printed_with_its_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = history(tmp_path / "one.db")
    other = history(tmp_path / "other.db", [("frame-1", 0.25000001), ("frame-3", 0.5)])
    assert main([str(one), str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "factory/line-1/cam-1 frame-1: score 0.25 -> 0.25000001"
    assert "factory/line-1/cam-1 frame-2: only in the first history" in lines
    assert "factory/line-1/cam-1 frame-3: only in the second history" in lines
    assert lines[-1] == "0 equal rows, 3 different rows"


def test_a_tolerance_and_ignored_columns(tmp_path: Path) -> None:
    one, other = history(tmp_path / "one.db"), history(tmp_path / "other.db", area=41)
    assert main([str(one), str(other)]) == 1
    assert main([str(one), str(other), "--ignore", "defect_regions"]) == 0
    near = history(tmp_path / "near.db", [(name, score * (1 + 1e-7)) for name, score in FRAMES])
    assert main([str(one), str(near)]) == 1
    assert main([str(one), str(near), "--tolerance", "1e-5"]) == 0


@pytest.mark.parametrize("name", ["r0002.db", "r0003.db"])
def test_histories_of_real_agents_are_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those of versions before."""
    copy = str(shutil.copy(OLD / name, tmp_path))
    assert main([copy, copy]) == 0
    assert not capsys.readouterr().out.startswith("0 equal rows")


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_a_file_that_is_not_a_history_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit, match=r"broken\.db"):
        main([str(path), str(history(tmp_path / "one.db"))])
