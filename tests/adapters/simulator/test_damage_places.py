"""Where a defect may lie and what its mask takes in."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from adapters.simulator import FAMILIES, Product, Station, draw
from adapters.simulator.canvas import Canvas
from adapters.simulator.defects.damage import RIM, Damage
from adapters.simulator.render import Window

SIZE = 128


@pytest.mark.parametrize("family", ["gear", "biscuit", "toy_block"])
@pytest.mark.parametrize("part", range(4))
def test_the_shadow_that_a_broken_edge_no_longer_throws_is_not_part_of_the_defect(
    family: str, part: int
) -> None:
    product, station = Product.create(family, 3), Station.loose(5)
    good, broken = (draw(product, station, part, defect=kind, size=SIZE) for kind in (None, "chipped edge"))
    rim = cv2.dilate(good.silhouette.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert broken.mask.any()
    assert not (broken.mask & ~rim).any()
    assert np.array_equal(broken.image[~broken.mask], good.image[~broken.mask]), "nor does it change"


def test_damage_of_the_face_keeps_away_from_the_rim() -> None:
    board = Canvas(256)
    board.disc((0.0, 0.0), 0.6, (0.5, 0.5, 0.5), alpha=255)
    layers = board.layers()
    away = cv2.distanceTransform((layers.alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    depths = []
    for seed in range(60):
        damage = Damage(layers, np.random.default_rng(seed), 0.01, 0.5, (0.5, 0.5), Window(0, 0, 256, 256))
        x, y = damage.place()
        depths.append(away[round(y), round(x)])
    assert min(depths) > 1.5, "a lattice of four pixels finds the rim roughly"
    assert np.percentile(depths, 10) > RIM * 256


def test_a_part_that_is_thinner_than_two_rims_has_places_all_the_same() -> None:
    board = Canvas(256)
    board.polygon([(-0.8, -0.01), (0.8, -0.01), (0.8, 0.01), (-0.8, 0.01)], (0.5, 0.5, 0.5), alpha=255)
    layers = board.layers()
    damage = Damage(layers, np.random.default_rng(0), 0.01, 0.5, (0.5, 0.5), Window(0, 0, 256, 256))
    x, y = damage.place()
    assert abs(y - 128) <= 6
    assert 20 < x < 236


@pytest.mark.parametrize("family", ["woven_cloth", "carpet"])
def test_a_loose_thread_is_long_and_as_thin_as_the_threads_beside_it(family: str) -> None:
    for part in range(6):
        image = draw(Product.create(family, 2), Station.fixed(2), part, defect="loose thread", size=256)
        widest = 2 * cv2.distanceTransform(image.mask.astype(np.uint8), cv2.DIST_L2, 5).max()
        (_, _), (side, other), _ = cv2.minAreaRect(np.argwhere(image.mask).astype(np.float32))
        assert max(side, other) > 1.5 * widest
        assert widest < 0.09 * 256


def test_a_defect_stands_out_from_coarse_grain_too(monkeypatch: pytest.MonkeyPatch) -> None:
    granite = next(
        product
        for product in (Product.create("stone_slab", seed) for seed in range(50))
        if "granite" in product.attributes["material"]
    )
    changes = []
    for coarse in (FAMILIES["stone_slab"].coarse, 0.0):
        monkeypatch.setitem(FAMILIES, "stone_slab", replace(FAMILIES["stone_slab"], coarse=coarse))
        changes.append([_change(granite, part) for part in range(12)])
    asked, unasked = changes
    assert np.mean(asked) > 1.08 * np.mean(unasked)


def _change(product: Product, part: int) -> float:
    """Mean change in levels under the mask of a stain."""
    good, bad = (draw(product, Station.fixed(1), part, defect=kind, size=SIZE) for kind in (None, "stain"))
    moved = np.abs(bad.image.astype(np.float32) - good.image).max(2)
    return float(moved[bad.mask].mean())
