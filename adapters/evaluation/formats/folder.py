"""Images of one's own, sorted into folders."""

from __future__ import annotations

from pathlib import Path

from adapters.evaluation.dataset import Category, Sample, by_stem, folders, images, mask_of
from agent.domain.errors import ConfigurationError

GOOD = "good"
REFERENCES = "references"
MASKS = ("ground_truth", "masks")
"""Where masks lie: ``masks/KIND/NAME.png`` or ``masks/KIND/NAME_mask.png``."""


def folder(root: Path) -> list[Category]:
    """``good/`` and any other folder, named after a defect; masks if there are some.

    References are drawn from ``references/`` if there is one, from ``good/`` otherwise; drawn ones
    are then left out of the test. ``root`` is a product, or holds products.

    Raises:
        ConfigurationError: there is no ``good`` folder with images, or no folder of defects.
    """
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {root}; --root names a folder with good/ and defects")
    products = [root] if _is_product(root) else [inside for inside in folders(root) if _is_product(inside)]
    if not products:
        raise ConfigurationError(
            f"{root} is not a folder with good/ and at least one folder of defects, each with images; "
            "check --root and --dataset"
        )
    return [_category(product) for product in products]


def _is_product(root: Path) -> bool:
    return bool(images(root / GOOD)) and bool(_kinds(root))


def _kinds(root: Path) -> list[Path]:
    reserved = {GOOD, REFERENCES, *MASKS}
    return [kind for kind in folders(root) if kind.name not in reserved and images(kind)]


def _category(root: Path) -> Category:
    samples = [Sample(path) for path in images(root / GOOD)]
    for kind in _kinds(root):
        masks = {stem: mask for name in MASKS for stem, mask in by_stem(root / name / kind.name).items()}
        samples += [Sample(path, kind.name, mask_of(masks, path.stem)) for path in images(kind)]
    references = images(root / REFERENCES) or images(root / GOOD)
    return Category(root.resolve().name, references, tuple(samples))
