"""Each dataset format reads a tree in the published layout and refuses another with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.evaluation.dataset import Category
from adapters.evaluation.formats import FORMATS
from agent.domain.errors import ConfigurationError
from tests.adapters.evaluation.trees import draw, draw_mask


def found(name: str, root: Path) -> list[Category]:
    """Read, and check what holds for every format: files exist, references are good."""
    categories = FORMATS[name](root)
    for category in categories:
        bad = {sample.path for sample in category.test if sample.defect is not None}
        assert not bad.intersection(category.train)
        for path in (*category.train, *(sample.path for sample in category.test)):
            assert path.is_file()
        assert all(sample.mask is None or sample.mask.is_file() for sample in category.test)
    return categories


def as_mvtec(root: Path, name: str, mask: str = "000_mask.png") -> None:
    """One category in MVTec's layout: two training images, one good, one scratched."""
    for image in ("train/good/001.png", "train/good/000.png", "test/good/000.png", "test/scratch/000.png"):
        draw(root / name / image)
    draw_mask(root / name / "ground_truth/scratch" / mask)


@pytest.mark.parametrize("name", ["mvtec", "mpdd", "visa"])
@pytest.mark.parametrize("mask", ["000_mask.png", "000.png"])
def test_mvtecs_layout(tmp_path: Path, name: str, mask: str) -> None:
    as_mvtec(tmp_path, "tile", mask)
    as_mvtec(tmp_path, "grid", mask)
    (tmp_path / "readme.txt").write_text("hello")
    grid, tile = found(name, tmp_path)
    assert (grid.name, tile.name) == ("grid", "tile")
    assert [path.name for path in grid.train] == ["000.png", "001.png"]
    assert [(one.defect, one.mask and one.mask.name) for one in grid.test] == [
        (None, None),
        ("scratch", mask),
    ]


def test_one_category_or_the_folder_around_an_archive(tmp_path: Path) -> None:
    as_mvtec(tmp_path / "mvtec_anomaly_detection", "tile")
    assert [one.name for one in found("mvtec", tmp_path)] == ["tile"]
    assert [one.name for one in found("mvtec", tmp_path / "mvtec_anomaly_detection" / "tile")] == ["tile"]


def test_a_defect_without_its_mask_is_still_a_defect(tmp_path: Path) -> None:
    as_mvtec(tmp_path, "tile")
    draw(tmp_path / "tile/test/scratch/001.png")
    (tile,) = found("mvtec", tmp_path)
    assert [(one.defect, one.mask is None) for one in tile.test] == [
        (None, True),
        ("scratch", False),
        ("scratch", True),
    ]


def test_visa_by_its_split_file(tmp_path: Path) -> None:
    normal, anomaly = "candle/Data/Images/Normal", "candle/Data/Images/Anomaly"
    for name in ("0002", "0000", "0001"):
        draw(tmp_path / normal / f"{name}.JPG")
    draw(tmp_path / anomaly / "000.JPG")
    draw_mask(tmp_path / "candle/Data/Masks/Anomaly/000.png", value=1)
    draw(tmp_path / "pcb1/Data/Images/Normal/0000.JPG")
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text(
        "object,split,label,image,mask\n"
        f"candle,train,normal,{normal}/0002.JPG,\n"
        f"candle,train,normal,{normal}/0000.JPG,\n"
        f"candle,test,normal,{normal}/0001.JPG,\n"
        f"candle,test,anomaly,{anomaly}/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
        "pcb1,test,normal,pcb1/Data/Images/Normal/0000.JPG,\n"
    )
    candle, pcb = found("visa", tmp_path)
    assert [path.stem for path in candle.train] == ["0002", "0000"]  # the order of the file
    assert [one.defect for one in candle.test] == [None, "anomaly"]
    assert (pcb.name, pcb.train, len(pcb.test)) == ("pcb1", (), 1)

    (tmp_path / anomaly / "000.JPG").unlink()
    with pytest.raises(ConfigurationError, match=r"1 of 6 files .* are missing"):
        FORMATS["visa"](tmp_path)


def test_visa_with_other_columns(tmp_path: Path) -> None:
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text("object,image\n")
    with pytest.raises(ConfigurationError, match="no column 'split'"):
        FORMATS["visa"](tmp_path)


def test_mtd(tmp_path: Path) -> None:
    draw(tmp_path / "MT_Free/Imgs/exp1_num_1.jpg")
    draw_mask(tmp_path / "MT_Free/Imgs/exp1_num_1.png", value=0)
    draw(tmp_path / "MT_Blowhole/Imgs/exp1_num_2.jpg")
    draw_mask(tmp_path / "MT_Blowhole/Imgs/exp1_num_2.png")
    (tiles,) = found("mtd", tmp_path)
    assert [(one.defect, one.mask is not None) for one in tiles.test] == [("blowhole", True), (None, False)]
    assert [path.stem for path in tiles.train] == ["exp1_num_1"]
    assert tiles.noun == "magnetic tile"


def test_btad_masks_have_a_suffix_of_their_own(tmp_path: Path) -> None:
    for name, suffix, mask in (("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")):
        for image in ("train/ok/0000", "test/ok/0001", "test/ko/0002"):
            draw(tmp_path / f"{name}/{image}.{suffix}")
        draw_mask(tmp_path / f"{name}/ground_truth/ko/0002.{mask}")
    products = found("btad", tmp_path)
    assert [one.name for one in products] == ["01", "02", "03"]
    for product in products:
        assert [(one.defect, one.mask is not None) for one in product.test] == [("ko", True), (None, False)]


def test_ksdd_tells_good_ones_by_black_masks(tmp_path: Path) -> None:
    for item, value in (("kos01", 0), ("kos02", 255)):
        draw(tmp_path / item / "Part0.jpg")
        draw_mask(tmp_path / item / "Part0_label.bmp", value=value)
    (commutators,) = found("ksdd", tmp_path)
    assert [one.defect for one in commutators.test] == [None, "defect"]
    assert [path.parent.name for path in commutators.train] == ["kos01"]


def test_dagm_classes_in_their_order(tmp_path: Path) -> None:
    for name in ("Class10", "Class2"):
        for image in ("Train/0001", "Train/0002", "Test/0003", "Test/0004"):
            draw(tmp_path / name / f"{image}.PNG")
        draw_mask(tmp_path / name / "Train/Label/0001_label.PNG")
        draw_mask(tmp_path / name / "Test/Label/0004_label.PNG")
        (tmp_path / name / "Test/Label/Labels.txt").write_text("1\n")
    second, tenth = found("dagm", tmp_path)
    assert (second.name, tenth.name) == ("Class2", "Class10")
    assert [path.stem for path in second.train] == ["0002"]
    assert [one.defect for one in second.test] == [None, "defect"]


@pytest.mark.parametrize("masks", ["masks", "ground_truth"])
def test_folder(tmp_path: Path, masks: str) -> None:
    draw(tmp_path / "good/a.jpg")
    draw(tmp_path / "dent/b.jpg")
    draw(tmp_path / "wrong lid/c.jpg")
    draw_mask(tmp_path / masks / "dent/b.png")
    (mine,) = found("folder", tmp_path)
    assert mine.name == tmp_path.name
    assert [(one.defect, one.mask is not None) for one in mine.test] == [
        (None, False),
        ("dent", True),
        ("wrong lid", False),
    ]
    assert [path.stem for path in mine.train] == ["a"]
    draw(tmp_path / "references/r.jpg")
    (mine,) = found("folder", tmp_path)
    assert [path.stem for path in mine.train] == ["r"]
    assert len(mine.test) == 3


def test_folder_with_several_products(tmp_path: Path) -> None:
    for product in ("lid", "jar"):
        draw(tmp_path / product / "good/a.jpg")
        draw(tmp_path / product / "dent/b.jpg")
    assert [one.name for one in found("folder", tmp_path)] == ["jar", "lid"]


@pytest.mark.parametrize("name", FORMATS)
def test_another_layout_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    draw(tmp_path / "images/a.png")
    with pytest.raises(ConfigurationError, match=r"is not .* check --root and --dataset") as refused:
        FORMATS[name](tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no folder"):
        FORMATS[name](tmp_path / "nowhere")
