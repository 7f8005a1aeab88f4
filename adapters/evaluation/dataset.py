"""``Category`` and ``Sample``: a dataset's good training images and labelled test images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.domain.errors import ConfigurationError
from agent.domain.frame import MEDIA_TYPE_OF, is_hidden

SUFFIXES = frozenset({*MEDIA_TYPE_OF, ".bmp", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image."""

    path: Path
    defect: str | None = None
    """What is wrong with it; None if it is good."""
    mask: Path | None = None
    """Its defective pixels (not zero), if the dataset has a mask."""


@dataclass(frozen=True, slots=True)
class Category:
    """One product of a dataset."""

    name: str
    train: tuple[Path, ...]
    """Good images to draw references from, in the dataset's own order. They may be test images
    if the dataset has no split: drawn ones are then left out of the test."""
    test: tuple[Sample, ...]
    noun: str = ""
    """What the product is called in prompts, if the name says little."""


def images(folder: Path) -> tuple[Path, ...]:
    """The image files directly inside a folder, sorted; empty if there are none."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in _inside(folder) if path.suffix.lower() in SUFFIXES))


def folders(folder: Path) -> tuple[Path, ...]:
    """The folders directly inside a folder, sorted; empty if there are none."""
    return tuple(sorted(path for path in _inside(folder) if path.is_dir())) if folder.is_dir() else ()


def _inside(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not is_hidden(path.name))


def by_stem(folder: Path) -> dict[str, Path]:
    """The image files directly inside a folder by their names without suffix."""
    return {path.stem: path for path in images(folder)}


def mask_of(masks: Mapping[str, Path], stem: str, endings: Iterable[str] = ("_mask", "")) -> Path | None:
    """The mask of image ``stem``: its name with the first of the endings that there is."""
    return next((masks[stem + ending] for ending in endings if stem + ending in masks), None)


def locate(root: Path, fits: Callable[[Path], bool], expected: str) -> Path:
    """``root``, or the one folder inside it, that has a layout: archives unpack into either.

    Raises:
        ConfigurationError: neither has; the sentence says what was expected.
    """
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {root}; --root names {expected}")
    if fits(root):
        return root
    inside = [folder for folder in folders(root) if fits(folder)]
    if len(inside) != 1:
        raise ConfigurationError(f"{root} is not {expected}; check --root and --dataset")
    return inside[0]
