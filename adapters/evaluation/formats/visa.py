"""VisA, read from its own split file."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from adapters.evaluation.dataset import Category, Sample, folders, locate
from adapters.evaluation.formats.mvtec import mvtec
from agent.domain.errors import ConfigurationError

SPLIT = Path("split_csv") / "1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")


def visa(root: Path) -> list[Category]:
    """VisA's folder, with ``split_csv/1cls.csv`` (object, split, label, image, mask); or its copy in
    MVTec's layout, as the authors' own tool makes it.

    Images keep the order of the file, which the reference draw depends on (METHODS 1.5).

    Raises:
        ConfigurationError: it is neither, the file has other columns, or images it names are missing.
    """
    expected = f"VisA's folder (with {SPLIT.as_posix()}), nor its copy in MVTec's layout"
    found = locate(root, lambda folder: (folder / SPLIT).is_file() or _is_converted(folder), expected)
    if not (found / SPLIT).is_file():
        return mvtec(found)
    with (found / SPLIT).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigurationError(f"{found / SPLIT} has no column {missing[0]!r}; VisA's own file has")
        rows = list(reader)
    _check(found, rows)
    names = dict.fromkeys(row["object"] for row in rows)
    return [_category(found, name, [row for row in rows if row["object"] == name]) for name in names]


def _is_converted(folder: Path) -> bool:
    return any((inside / "train" / "good").is_dir() for inside in folders(folder))


def _category(root: Path, name: str, rows: Iterable[dict[str, str]]) -> Category:
    train: list[Path] = []
    test: list[Sample] = []
    for row in rows:
        path, good = root / row["image"], row["label"] == "normal"
        if row["split"] == "train":
            train += [path] if good else []
        else:
            mask = root / row["mask"] if row["mask"] and not good else None
            test.append(Sample(path, None if good else row["label"], mask))
    return Category(name, tuple(train), tuple(test))


def _check(root: Path, rows: Iterable[dict[str, str]]) -> None:
    named = [root / row[column] for row in rows for column in ("image", "mask") if row[column]]
    missing = [path for path in named if not path.is_file()]
    if missing:
        raise ConfigurationError(
            f"{len(missing)} of {len(named)} files that {root / SPLIT} names are missing, "
            f"{missing[0]} first; unpack VisA again"
        )
