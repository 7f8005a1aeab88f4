"""MVTec AD and the datasets in its layout: train and test folders by kind, masks beside them."""

from __future__ import annotations

from pathlib import Path

from adapters.evaluation.dataset import Category, Sample, by_stem, folders, images, locate, mask_of


def mvtec(root: Path) -> list[Category]:
    """``CATEGORY/train/good``, ``test/KIND``, ``ground_truth/KIND/NAME_mask.png`` (or ``NAME.png``).

    ``root`` holds the categories, or is one.

    Raises:
        ConfigurationError: there is no category of this layout.
    """
    return _read(root, "good", "a folder in MVTec's layout (CATEGORY/train/good and CATEGORY/test/KIND)")


def mpdd(root: Path) -> list[Category]:
    """MPDD's six metal parts, in MVTec's layout.

    Raises:
        ConfigurationError: there is no category of this layout.
    """
    return _read(root, "good", "MPDD's folder (bracket_black/train/good, bracket_black/test/KIND, ...)")


def btad(root: Path) -> list[Category]:
    """BTAD's three products: ``01/train/ok``, ``01/test/ok``, ``01/test/ko``, ``01/ground_truth/ko``.

    Masks have the image's name and a suffix of their own (.png or .bmp).

    Raises:
        ConfigurationError: there is no product of this layout.
    """
    return _read(root, "ok", "BTAD's folder (01/train/ok, 01/test/ok and 01/test/ko, ...)", noun="product")


def _read(root: Path, good: str, expected: str, noun: str = "") -> list[Category]:
    def is_category(folder: Path) -> bool:
        return (folder / "train" / good).is_dir() and (folder / "test").is_dir()

    def has_categories(folder: Path) -> bool:
        return is_category(folder) or any(is_category(inside) for inside in folders(folder))

    found = locate(root, has_categories, expected)
    parts = [found] if is_category(found) else [part for part in folders(found) if is_category(part)]
    return [_category(part, good, noun) for part in parts]


def _category(folder: Path, good: str, noun: str) -> Category:
    samples: list[Sample] = []
    for kind in folders(folder / "test"):
        if kind.name == good:
            samples += [Sample(path) for path in images(kind)]
            continue
        masks = by_stem(folder / "ground_truth" / kind.name)
        samples += [Sample(path, kind.name, mask_of(masks, path.stem)) for path in images(kind)]
    return Category(folder.name, images(folder / "train" / good), tuple(samples), noun)
