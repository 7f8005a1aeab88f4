"""find_product_region: a rectangle that holds the product in all images, or none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.domain.frame import Image
from agent.domain.regions import rectangle
from agent.onboarding.product_region import LARGEST, MARGIN, find_product_region


def disc(x: int, y: int, radius: int = 20, seed: int = 0) -> Image:
    """A red disc on a grey ground of 200 x 100 pixels."""
    noise = np.random.default_rng(seed).normal(110.0, 3.0, (100, 200, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    cv2.circle(image, (x, y), radius, (210, 40, 40), -1)
    return image


def test_the_rectangle_holds_the_product_wherever_it_lay() -> None:
    found = find_product_region([disc(60, 50), disc(80, 50), disc(70, 40)])
    assert found is not None
    (left, top), (right, bottom) = found[0], found[2]
    assert left <= 40 / 200 <= left + MARGIN + 0.03
    assert right - MARGIN - 0.03 <= 100 / 200 <= right
    assert top <= 20 / 100 <= top + MARGIN + 0.05
    assert bottom - MARGIN - 0.05 <= 70 / 100 <= bottom
    assert all(round(side, 2) == side for point in found for side in point), "numbers that people type"


def test_nothing_is_found_where_nothing_stands_out_or_all_is_product() -> None:
    bare = [disc(0, 0, 0, seed) for seed in range(4)]
    assert find_product_region(bare) is None
    assert find_product_region([disc(60, 50), *bare]) is None, "in one of five images"
    assert find_product_region([]) is None
    assert find_product_region([disc(60, 50), disc(140, 50)], lambda _: (2, 2, 198, 98)) is None
    assert LARGEST < 1.0


@pytest.mark.parametrize("box", [(40, 30, 80, 70), None])
def test_a_detectors_box_counts_where_there_is_one(box: tuple[int, int, int, int] | None) -> None:
    found = find_product_region([disc(150, 50)], lambda _: box)
    if box is None:
        assert found is None
    else:
        assert found is not None
        assert found == rectangle(0.16, 0.26, 0.28, 0.48)
