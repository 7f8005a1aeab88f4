"""Where the product is, from the image alone: against the simulator's own silhouettes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from adapters.simulator import Product, Station, draw
from agent.onboarding.synthetic_defects import estimate_foreground
from tests.support.images import part

SEED = 1_950_000


FAMILIES = ("gear", "machined_plate", "biscuit", "capsule", "circuit_board", "tablet", "toy_block")


def test_products_are_separated_from_what_they_lie_on() -> None:
    shares = []
    for index, family in enumerate(FAMILIES):
        for seed in (SEED + index, SEED + 100 + index):
            image = draw(Product.create(family, seed), Station.fixed(seed + 50), seed)
            found = estimate_foreground(image.image)
            assert found.shape == image.silhouette.shape
            assert (found & image.silhouette).sum() / found.sum() > 0.85, f"{family}: on the product"
            shares.append((found & image.silhouette).sum() / image.silhouette.sum())
    assert np.mean(shares) > 0.9, "and most of it"


@pytest.mark.parametrize("family", ["leather", "woven_cloth", "steel_sheet"])
def test_a_surface_is_the_product_everywhere(family: str) -> None:
    assert estimate_foreground(draw(Product.create(family, SEED), Station.fixed(SEED), SEED).image).all()


def test_a_frame_of_noise_is_all_product() -> None:
    assert estimate_foreground(part(0)).all()


def test_a_highlight_is_not_a_product() -> None:
    across = np.linspace(-1, 1, 128)
    glow = 90 * np.exp(-3 * (across[:, None] ** 2 + across[None] ** 2))
    image = np.repeat((100 + glow).astype(np.uint8)[..., None], 3, axis=2)
    assert estimate_foreground(image).all()


def test_a_box_limits_the_product() -> None:
    image = np.full((100, 120, 3), 40, np.uint8)
    cv2.circle(image, (60, 50), 25, (220, 60, 60), -1)
    found = estimate_foreground(image, (50, 30, 90, 90))
    assert found[50, 60]
    assert not found[:, :50].any()
    assert not found[:30].any()
    assert not found[95, 115]


def test_a_box_without_an_outline_inside_is_the_product_itself() -> None:
    found = estimate_foreground(part(0), (10, 20, 30, 50))
    assert found.sum() == 20 * 30
    assert found[20:50, 10:30].all()


def test_a_box_without_an_area_is_not_believed() -> None:
    assert estimate_foreground(part(0), (70, 20, 90, 50)).all()
