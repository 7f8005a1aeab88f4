"""Datasets on disk: one category is good training pictures and labelled test pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigurationError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture."""

    path: Path
    defect: str | None = None
    """What is wrong with it; None where it is good."""
    mask: Path | None = None
    """Its defective pixels (not zero), where the dataset says."""


@dataclass(frozen=True, slots=True)
class Category:
    """One product of a dataset."""

    name: str
    train: tuple[Path, ...]
    """Good pictures to draw references from, sorted."""
    test: tuple[Sample, ...]


def pictures(folder: Path) -> tuple[Path, ...]:
    """The picture files directly inside a folder, sorted; empty where there is none."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES))


def _mvtec_category(folder: Path) -> Category:
    samples: list[Sample] = []
    for kind in sorted(path for path in (folder / "test").iterdir() if path.is_dir()):
        good = kind.name == "good"
        for path in pictures(kind):
            mask = folder / "ground_truth" / kind.name / f"{path.stem}_mask.png"
            samples.append(
                Sample(path, None if good else kind.name, mask if not good and mask.is_file() else None)
            )
    return Category(folder.name, pictures(folder / "train" / "good"), tuple(samples))


def _is_mvtec(folder: Path) -> bool:
    return (folder / "train" / "good").is_dir() and (folder / "test").is_dir()


def mvtec(root: Path) -> list[Category]:
    """MVTec's layout: ``CATEGORY/train/good``, ``test/KIND``, ``ground_truth/KIND/NAME_mask.png``.

    ``root`` holds the categories, or is one.

    Raises:
        ConfigurationError: there is no category of this layout.
    """
    folders = [root] if _is_mvtec(root) else sorted(path for path in root.glob("*") if _is_mvtec(path))
    if not folders:
        raise ConfigurationError(
            f"{root} has no category in MVTec's layout (train/good and test); check --root and --dataset"
        )
    return [_mvtec_category(folder) for folder in folders]


FORMATS: Mapping[str, Callable[[Path], list[Category]]] = {"mvtec": mvtec}
"""Dataset formats by name."""
