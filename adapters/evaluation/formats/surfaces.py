"""Surface inspection sets with layouts of their own: magnetic tiles, commutators, DAGM's textures."""

from __future__ import annotations

from pathlib import Path

from adapters.evaluation.dataset import Category, Sample, by_stem, folders, images, locate, mask_of
from adapters.evaluation.maps import read_mask

_TILES_GOOD = "MT_Free"


def mtd(root: Path) -> list[Category]:
    """Magnetic tile defects: ``MT_KIND/Imgs/NAME.jpg`` with the mask ``NAME.png``; ``MT_Free`` is good.

    There is no split: references are drawn from the good ones and left out of the test.

    Raises:
        ConfigurationError: there is no ``MT_Free``, or nothing beside it.
    """

    def fits(folder: Path) -> bool:
        kinds = [inside.name for inside in folders(folder) if inside.name.startswith("MT_")]
        return _TILES_GOOD in kinds and len(kinds) > 1

    found = locate(root, fits, "MTD's folder (MT_Free/Imgs, MT_Blowhole/Imgs, ...)")
    samples: list[Sample] = []
    for kind in folders(found):
        if not kind.name.startswith("MT_"):
            continue
        folder = kind / "Imgs" if (kind / "Imgs").is_dir() else kind
        photographs = [path for path in images(folder) if path.suffix.lower() != ".png"]
        masks = {path.stem: path for path in images(folder) if path.suffix.lower() == ".png"}
        for path in photographs:
            good = kind.name == _TILES_GOOD
            defect = None if good else kind.name.removeprefix("MT_").lower()
            samples.append(Sample(path, defect, None if good else masks.get(path.stem)))
    good_ones = tuple(sample.path for sample in samples if sample.defect is None)
    return [Category("mtd", good_ones, tuple(samples), "magnetic tile")]


def ksdd(root: Path) -> list[Category]:
    """KolektorSDD: ``kosNN/PartM.jpg`` with ``kosNN/PartM_label.bmp``, all black if the part is good.

    There is no split: references are drawn from the good ones and left out of the test.

    Raises:
        ConfigurationError: there is no ``kosNN`` folder, or a mask cannot be read.
    """

    def fits(folder: Path) -> bool:
        return any(inside.name.lower().startswith("kos") for inside in folders(folder))

    found = locate(root, fits, "KolektorSDD's folder (kos01, kos02, ... with PartN.jpg and PartN_label.bmp)")
    samples: list[Sample] = []
    for item in folders(found):
        if not item.name.lower().startswith("kos"):
            continue
        files = by_stem(item)
        for path in files.values():
            if path.stem.endswith("_label"):
                continue
            mask = mask_of(files, path.stem, ("_label",))
            defective = mask is not None and bool(read_mask(mask).any())
            samples.append(Sample(path, "defect", mask) if defective else Sample(path))
    good_ones = tuple(sample.path for sample in samples if sample.defect is None)
    return [Category("ksdd", good_ones, tuple(samples), "electrical commutator")]


def dagm(root: Path) -> list[Category]:
    """DAGM 2007: ``ClassN/Train`` and ``ClassN/Test``; an image is defective if ``Label`` has its
    ``NAME_label.PNG``, an ellipse around the defect.

    Raises:
        ConfigurationError: there is no ``ClassN`` with Train and Test.
    """

    def is_class(folder: Path) -> bool:
        parts = (folder / "Train", folder / "Test")
        return folder.name.startswith("Class") and all(part.is_dir() for part in parts)

    def has_classes(folder: Path) -> bool:
        return is_class(folder) or any(is_class(inside) for inside in folders(folder))

    found = locate(root, has_classes, "DAGM 2007's folder (Class1/Train and Class1/Test with Label, ...)")
    classes = [found] if is_class(found) else [inside for inside in folders(found) if is_class(inside)]
    classes.sort(key=lambda folder: (len(folder.name), folder.name))  # Class2 before Class10
    return [
        Category(
            folder.name,
            tuple(sample.path for sample in _dagm_part(folder / "Train") if sample.defect is None),
            tuple(_dagm_part(folder / "Test")),
            "textured surface",
        )
        for folder in classes
    ]


def _dagm_part(folder: Path) -> list[Sample]:
    masks = by_stem(folder / "Label")
    found = [(path, masks.get(f"{path.stem}_label")) for path in images(folder)]
    return [Sample(path) if mask is None else Sample(path, "defect", mask) for path, mask in found]
