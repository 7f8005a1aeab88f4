"""Published rows: found where dataset, method and references match, and nowhere else."""

from __future__ import annotations

import pytest

from adapters.evaluation.published import CATEGORIES, ROWS, dataset_of, is_whole, published


def test_fades_row() -> None:
    (row,) = published("mvtec", "fade", 4)
    assert row.figures == pytest.approx(
        {
            "image_auroc": 0.963,
            "image_aupr": 0.981,
            "image_f1max": 0.955,
            "pixel_auroc": 0.962,
            "pro": 0.895,
            "pixel_f1max": 0.57,
        }
    )
    assert row.deviations["image_auroc"] == 0.4


def test_several_settings_of_one_method() -> None:
    rows = published("visa", "anomaly-dino", 1)
    assert [row.variant for row in rows] == ["ViT-S at 448", "ViT-S at 672"]
    assert [row.figures["image_auroc"] for row in rows] == [0.856, 0.874]


@pytest.mark.parametrize(
    ("dataset", "method", "shots"), [("mvtec", "sightline", 0), ("mvtec", "fade", 3), ("mpdd", "fade", 0)]
)
def test_what_nobody_published(dataset: str, method: str, shots: int) -> None:
    assert published(dataset, method, shots) == ()


def test_a_dataset_is_told_by_its_categories() -> None:
    assert dataset_of(["cookie", "cubes"]) is None  # MVTec's layout does not make it MVTec AD
    assert dataset_of([]) is None
    assert dataset_of(["bottle", "zipper"]) == "mvtec"
    assert not is_whole("mvtec", ["bottle", "zipper"])
    assert is_whole("mvtec", CATEGORIES["mvtec"])
    assert dataset_of(["Woven_001"]) == "dtd-synthetic"


def test_the_datasets_have_their_sizes() -> None:
    sizes = {name: len(names) for name, names in CATEGORIES.items()}
    assert sizes == {
        "mvtec": 15,
        "visa": 12,
        "mpdd": 6,
        "btad": 3,
        "ksdd": 1,
        "mtd": 1,
        "dagm": 10,
        "dtd-synthetic": 12,
    }


def test_rows_are_consistent() -> None:
    assert len({(row.dataset, row.method, row.shots, row.variant) for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert row.dataset in CATEGORIES
        assert row.figures
        assert all(0.0 < value < 1.0 for value in row.figures.values())
        assert set(row.deviations) <= set(row.percent)
