"""Methods that keep the aspect ratio of images if their recipe says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.methods.batching import fingerprint_of
from agent.methods.fade import Fade, FadeParameters, FadePrepared
from agent.methods.parameters import KEEP, SQUARE, size_of, with_parameters
from agent.methods.winclip import WinClipParameters
from agent.ports import ImageFeatures, ImageSize
from tests.support.encoders import ColourEncoder

SIDE = 64


class Recording(ColourEncoder):
    """Notes what size it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[ImageSize] = []

    def encode_images(self, images: Sequence[Image], size: ImageSize) -> ImageFeatures:
        self.sizes.append(size)
        return super().encode_images(images, size)


def recipe(shots: int = 1, *, keep_aspect: bool = True) -> Recipe:
    names = tuple(Reference(str(i), f"{i}.png", str(i)) for i in range(shots))
    plain = replace(template_recipe("A", "fade"), references=names)
    return with_parameters(plain, aspect=KEEP) if keep_aspect else plain


def part(height: int, width: int, spot: tuple[int, int] | None = None) -> Image:
    image = np.full((height, width, 3), 120, np.uint8)
    image[:, : width // 2] = (90, 130, 160)
    if spot is not None:
        y, x = spot
        image[y : y + height // 8, x : x + height // 8] = (250, 20, 20)
    return image


def fade(encoder: ColourEncoder) -> Fade:
    return Fade(encoder, defaults=FadeParameters(scales=(SIDE,), map_size=16, smoothing=1))


@given(st.integers(64, 896), st.integers(40, 5000), st.integers(40, 5000))
def test_the_size_has_the_area_of_the_square_and_the_shape_of_the_image(
    side: int, height: int, width: int
) -> None:
    size = size_of(np.zeros((height, width, 3), np.uint8), side, KEEP)
    if height == width:
        assert size == side
        return
    assert isinstance(size, tuple)
    for found, exact in zip(
        size, (side * (height / width) ** 0.5, side * (width / height) ** 0.5), strict=True
    ):
        assert found % 16 == 0
        assert abs(found - exact) <= 8 or found == 32


def test_without_it_every_image_becomes_a_square() -> None:
    assert size_of(part(480, 640), 320, SQUARE) == 320


def test_a_wide_image_is_encoded_wide() -> None:
    encoder = Recording()
    method = fade(encoder)
    image = part(60, 120)
    for kept, size in ((True, (48, 96)), (False, SIDE)):
        prepared = method.prepare(recipe(keep_aspect=kept), [image])
        method.score([image], [prepared])
        assert encoder.sizes[-1] == size
        assert isinstance(prepared, FadePrepared)
        cells = 6 * 12 if kept else 8 * 8
        assert len(prepared.banks[0].vectors) == cells


def test_the_map_shows_a_defect_where_it_is() -> None:
    method = fade(ColourEncoder())
    prepared = method.prepare(recipe(), [part(80, 160)])
    scored = method.score([part(80, 160, spot=(60, 120))], [prepared])[0]
    found = scored.anomaly_map
    assert found is not None
    row, column = divmod(int(found.argmax()), found.shape[1])
    assert abs((row + 0.5) / found.shape[0] - 65 / 80) < 0.1
    assert abs((column + 0.5) / found.shape[1] - 125 / 160) < 0.1


def test_images_of_several_shapes_are_scored_in_one_call_as_alone() -> None:
    encoder = Recording()
    method = fade(encoder)
    images = [part(60, 120), part(120, 60), part(60, 120, (10, 20)), part(64, 64)]
    prepared = [method.prepare(recipe(), [part(*image.shape[:2])]) for image in images]
    encoder.sizes.clear()
    together = method.score(images, prepared)
    assert sorted(map(str, encoder.sizes)) == ["(48, 96)", "(96, 48)", "64"], "one pass for each shape"
    for image, one, scored in zip(images, prepared, together, strict=True):
        alone = method.score([image], [one])[0]
        assert scored.score == pytest.approx(alone.score, abs=1e-6)


@pytest.mark.parametrize("defaults", [FadeParameters(), WinClipParameters()])
def test_thresholds_from_before_the_parameter_existed_stay_valid(
    defaults: FadeParameters | WinClipParameters,
) -> None:
    assert "aspect" not in str(defaults)
    kept = fingerprint_of("weights", replace(defaults, aspect=KEEP))
    assert kept != fingerprint_of("weights", defaults)


def test_features_of_the_two_shapes_are_not_confused() -> None:
    """Both recipes have the same reference; the features that are kept of it differ."""
    method, image = fade(ColourEncoder()), part(60, 120)
    square = method.prepare(recipe(keep_aspect=False), [image])
    wide = method.prepare(recipe(), [image])
    alone = fade(ColourEncoder()).prepare(recipe(), [image])
    assert isinstance(square, FadePrepared)
    assert isinstance(wide, FadePrepared)
    assert isinstance(alone, FadePrepared)
    torch.testing.assert_close(wide.banks[0].vectors, alone.banks[0].vectors)
    assert len(square.banks[0].vectors) != len(wide.banks[0].vectors)
