"""Compare the inspections of two histories, frame by frame.

A change that must not alter any result inspects the same frames with the old and the new code. This script
then compares the two ``history.db`` files::

    sightline demo --set inspection.max_batch=1 --out var/before      # the old code
    sightline demo --set inspection.max_batch=1 --out var/after       # the new code
    python tests/support/compare_histories.py var/before/history.db var/after/history.db

Two rows belong together if their camera and frame id are the same. Times and generated ids are ignored, and
so is the time stamp that starts every frame id of ``sightline demo``. Images, masks and overlays are compared
by their paths, because a path is the digest of the content.

Without ``inspection.max_batch=1``, the batches depend on timing. The last digits of a score depend on the
batch, so give a tolerance then, such as ``--tolerance 1e-5``.

The script reads the view ``inspection_history`` and the table ``defect``. It does not import Sightline, so it
also reads a history that another version wrote.
"""

from __future__ import annotations

import argparse
import math
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

COLUMNS = (
    "sku",
    "verdict",
    "score",
    "threshold",
    "recipe_version",
    "method",
    "defect_labels",
    "image_path",
    "mask_path",
    "overlay_path",
    "defect_regions",
)
"""What is compared. ``defect_regions`` holds score, box (x, y, width, height) and area of each defect."""

_ROWS = """
    SELECT site || '/' || line || '/' || camera, frame_id, inspection_id,
           sku, verdict, score, threshold, recipe_version, method, defect_labels,
           image_path, mask_path, overlay_path
    FROM inspection_history
"""
_REGIONS = """
    SELECT inspection_id, score, bbox_x, bbox_y, bbox_width, bbox_height, area_px
    FROM defect
    ORDER BY inspection_id, defect_index
"""
_RUN_STAMP = re.compile(r"^\d{8}T\d{6}-")

Key = tuple[str, str]
"""Camera (``site/line/camera``) and frame id."""
Row = Mapping[str, object]
"""The value of each compared column."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each difference and the number of equal rows; return 1 if anything differs, else 0."""
    parser = argparse.ArgumentParser(description="Compare the inspections of two SQLite histories.")
    parser.add_argument("before", type=Path, help="history.db of the first run")
    parser.add_argument("after", type=Path, help="history.db of the second run")
    parser.add_argument(
        "--ignore",
        nargs="+",
        choices=COLUMNS,
        default=(),
        metavar="COLUMN",
        help=f"do not compare these columns, of: {', '.join(COLUMNS)}",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="T",
        help="scores and thresholds may differ by this part of the larger one; default: not at all",
    )
    options = parser.parse_args(arguments)
    columns = [column for column in COLUMNS if column not in options.ignore]
    before, after = read_history(options.before), read_history(options.after)
    differences = list(compare(before, after, columns, options.tolerance))
    for (camera, frame_id), difference in differences:
        sys.stdout.write(f"{camera} {frame_id}: {difference}\n")
    different = len({key for key, _ in differences})
    equal = len(before.keys() | after.keys()) - different
    sys.stdout.write(f"{equal} equal rows, {different} different rows\n")
    return 1 if differences else 0


def read_history(path: Path) -> dict[Key, Row]:
    """Read every inspection of a history. Nothing is written to it.

    Raises:
        SystemExit: if the file is missing or is not a history, or if two rows have the same key.
    """
    if not path.is_file():
        raise SystemExit(f"error: {path} is not a file")
    rows: dict[Key, Row] = {}
    regions: dict[str, list[tuple[object, ...]]] = {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for inspection_id, *region in connection.execute(_REGIONS):
                regions.setdefault(inspection_id, []).append(tuple(region))
            for camera, frame_id, inspection_id, *values in connection.execute(_ROWS):
                key = (camera, _RUN_STAMP.sub("", frame_id))
                if key in rows:
                    raise SystemExit(f"error: {path} has two rows for {camera} {key[1]}")
                all_values = [*values, regions.get(inspection_id, [])]
                rows[key] = dict(zip(COLUMNS, all_values, strict=True))
    except sqlite3.Error as error:
        raise SystemExit(f"error: {path}: {error}") from error
    return rows


def compare(
    before: Mapping[Key, Row],
    after: Mapping[Key, Row],
    columns: Sequence[str] = COLUMNS,
    tolerance: float = 0.0,
) -> Iterator[tuple[Key, str]]:
    """Yield each difference with its key: a row that only one history has, or a value that is not equal."""
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield key, "only in the first history"
        elif key not in before:
            yield key, "only in the second history"
        else:
            for column in columns:
                old, new = before[key][column], after[key][column]
                if not _equal(old, new, tolerance):
                    yield key, f"{column} {old!r} -> {new!r}"


def _equal(old: object, new: object, tolerance: float) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=tolerance, abs_tol=0.0)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(
            _equal(one, other, tolerance) for one, other in zip(old, new, strict=True)
        )
    return old == new


if __name__ == "__main__":
    sys.exit(main())
