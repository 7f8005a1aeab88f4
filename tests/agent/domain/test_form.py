"""ImageForm and ReferenceForm: what differs in form is said, what differs as parts and light do is not."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.simulator import Product, Station, draw
from agent.domain.form import ImageForm, ReferenceForm
from agent.domain.frame import Image

SIDE = 256


def images(family: str, count: int, *, first: int = 0, defect: str | None = None) -> list[Image]:
    product, station = Product.create(family, 7), Station.fixed(7)
    return [draw(product, station, first + seed, defect=defect, size=SIDE).image for seed in range(count)]


def form(family: str = "gear", count: int = 6) -> ReferenceForm:
    found = ReferenceForm.among([ImageForm.of(image) for image in images(family, count)])
    assert found is not None
    return found


def differences(image: NDArray[Any], references: ReferenceForm) -> str:
    return "; ".join(references.differences(ImageForm.of(np.ascontiguousarray(image, np.uint8))))


@pytest.fixture(scope="module")
def gears() -> ReferenceForm:
    return form()


@pytest.fixture(scope="module")
def gear() -> Image:
    return images("gear", 1, first=50)[0]


def test_without_references_there_is_no_form() -> None:
    assert ReferenceForm.among([]) is None


@pytest.mark.parametrize("family", ["gear", "circuit_board", "wood_board", "bottle_cap"])
def test_good_parts_and_defects_have_the_form_of_the_references(family: str) -> None:
    references = form(family)
    assert [differences(image, references) for image in images(family, 6, first=20)] == [""] * 6


@pytest.mark.parametrize("gain", [0.7, 0.85, 1.2])
def test_other_light_within_reason_is_no_other_form(gears: ReferenceForm, gear: Image, gain: float) -> None:
    assert differences(np.clip(gear * gain, 0, 255), gears) == ""


def test_what_differs_is_named(gears: ReferenceForm, gear: Image) -> None:
    height, width = gear.shape[:2]
    grey = np.repeat(cv2.cvtColor(gear, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert "grey" in differences(grey, gears)
    assert "1.33 times its height" in differences(gear[: height * 3 // 4], gears)
    assert f"{width // 2} x {height // 2}" in differences(cv2.resize(gear, (width // 2, height // 2)), gears)
    assert "less sharp" in differences(cv2.GaussianBlur(gear, (0, 0), 4), gears)
    assert "darker" in differences(gear // 4, gears)
    assert "brighter" in differences(255 - (255 - gear) // 4, gears)


def test_colour_against_grey_references(gear: Image) -> None:
    shades = [np.repeat(image[..., :1], 3, axis=2) for image in images("gear", 3)]
    references = ReferenceForm.among([ImageForm.of(np.ascontiguousarray(image)) for image in shades])
    assert references is not None
    tinted = np.clip(gear.astype(np.int16) + np.array((20, 0, -20)), 0, 255)
    assert "in colour" in differences(tinted, references)


def test_swapped_channels_are_named_and_another_colour_of_a_part_is_not() -> None:
    rng = np.random.default_rng(0)

    def scene(colour: tuple[int, int, int]) -> Image:
        ground = np.full((128, 128, 3), (150, 130, 110), np.int16)
        ground[40:80, 40:80] = colour
        return np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8)

    references = ReferenceForm.among([ImageForm.of(scene((180, 40, 40))) for _ in range(6)])
    assert references is not None
    assert differences(scene((180, 40, 40)), references) == ""
    assert differences(scene((40, 40, 180)), references) == ""
    assert "swapped" in differences(scene((180, 40, 40))[..., ::-1], references)
