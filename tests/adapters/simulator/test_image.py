"""Images: the same arguments give the same image, masks are exact, defects visible and of real sizes."""

import subprocess
import sys

import numpy as np
import pytest

from adapters.simulator import (
    DEFECTS,
    FAMILIES,
    HELD_OUT,
    Product,
    Station,
    draw,
    image,
    random_defect,
    statistics,
)

SIZE = 96
PAIRS = [(family.name, defect) for family in FAMILIES.values() for defect in family.defects]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_same_arguments_give_the_same_image(name: str) -> None:
    for station in (Station.fixed(4), Station.loose(4), Station.varied(4)):
        first = draw(Product.create(name, 2), station, 9, size=SIZE)
        again = draw(Product.create(name, 2), station, 9, size=SIZE)
        assert first.image.dtype == np.uint8
        assert first.image.shape == (SIZE, SIZE, 3)
        assert first.mask.shape == first.silhouette.shape == (SIZE, SIZE)
        assert not first.mask.any()
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.silhouette, again.silhouette)


def test_another_process_draws_the_same_image() -> None:
    code = (
        "from adapters.simulator import *; import zlib;"
        "p = draw(Product.create('gear', 3), Station.varied(1), 5, defect='scratch', size=64);"
        "print(zlib.crc32(p.image.tobytes()), zlib.crc32(p.mask.tobytes()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] != ""


def test_drawing_leaves_the_global_generator_alone() -> None:
    np.random.seed(7)
    expected = np.random.RandomState(7).random()
    draw(Product.create("biscuit", 0), Station.varied(0), 0, defect="crack", size=SIZE)
    assert np.random.random() == expected


@pytest.mark.parametrize(("name", "defect"), PAIRS)
def test_a_defect_changes_its_mask_and_nothing_else(name: str, defect: str) -> None:
    for seed, station in enumerate((Station.fixed(0), Station.loose(1), Station.varied(2))):
        product = Product.create(name, seed)
        good = draw(product, station, seed, size=SIZE)
        bad = draw(product, station, seed, defect=defect, size=SIZE)
        difference = np.abs(good.image.astype(int) - bad.image).max(axis=2)
        assert bad.defect == defect
        assert good.visibility is None
        assert bad.visibility is not None
        assert bad.visibility > 0
        assert bad.mask.any()
        assert not difference[~bad.mask].any()
        assert difference[bad.mask].mean() > 4
        assert bad.mask.sum() < 0.35 * bad.silhouette.sum()
        assert np.array_equal(bad.silhouette & good.silhouette, good.silhouette)


def test_products_differ_and_parts_of_one_product_are_alike_at_a_fixed_station() -> None:
    for name in ("machined_plate", "printed_label", "bottle_cap"):
        station = Station.fixed(3)
        parts = [draw(Product.create(name, 1), station, k, size=SIZE).image.astype(float) for k in range(3)]
        other = draw(Product.create(name, 2), station, 0, size=SIZE).image.astype(float)
        assert 0 < np.abs(parts[0] - parts[1]).mean() < 0.6 * np.abs(parts[0] - other).mean()


def test_surfaces_fill_the_image_and_objects_do_not() -> None:
    for family in FAMILIES.values():
        seen = draw(Product.create(family.name, 0), Station.fixed(0), 0, size=SIZE).silhouette
        assert seen.all() == (family.kind == "surface")
        assert seen.mean() > 0.1


def test_areas_follow_the_documented_distribution() -> None:
    report = statistics(3 * len(FAMILIES), 5, size=96)
    assert report["images"] == 3 * len(FAMILIES)
    assert report["area_fraction"]["within_0.1_to_5_percent"] > 0.8
    assert 0.001 < report["area_fraction"]["p50"] < 0.03
    assert report["invisible"] < 0.05
    assert report["unclaimed"] <= report["failed"] < 0.05
    assert sum(report["histogram"]["shares"]) == pytest.approx(1.0)


def test_the_visibility_states_whether_the_check_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (Product.create("biscuit", 3), Station.fixed(1), 2)
    plain = draw(*arguments, defect="stain", size=SIZE)
    assert plain.visibility is not None
    assert plain.visibility >= 1
    monkeypatch.setattr(image, "VISIBLE_LAB", 1000.0)
    hopeless = draw(*arguments, defect="stain", size=SIZE)
    assert hopeless.visibility is not None
    assert 0 < hopeless.visibility < 0.2


def test_held_out_families_are_spread_over_objects_and_surfaces() -> None:
    assert set(FAMILIES) > HELD_OUT
    assert {FAMILIES[name].kind for name in HELD_OUT} == {"object", "surface"}
    assert len(FAMILIES) - len(HELD_OUT) >= 8


def test_every_family_states_known_defects_and_words() -> None:
    for name, family in FAMILIES.items():
        assert name == family.name
        assert set(family.defects) <= set(DEFECTS)
        assert family.changes <= set(family.defects)
        product = Product.create(name, 0)
        assert set(product.attributes) == {"colour", "material"}
        assert {random_defect(product, seed) for seed in range(60)} == set(family.defects)


def test_a_wrong_name_says_what_there_is() -> None:
    with pytest.raises(KeyError, match="machined_plate"):
        Product.create("teapot", 0)
    with pytest.raises(ValueError, match="contamination"):
        draw(Product.create("leather", 0), Station.fixed(0), 0, defect="solder bridge")
