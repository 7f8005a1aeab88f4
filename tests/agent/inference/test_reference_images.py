"""ReferenceImages: bounded memory, the same images, the forms of what was read."""

from __future__ import annotations

import numpy as np
import pytest

from agent.domain.frame import Image
from agent.inference.reference_images import ReferenceImages, reduced
from tests.support.images import part


class Files:
    """A source that counts how often each image is read."""

    def __init__(self, side: int = 256) -> None:
        self.side = side
        self.reads: list[int] = []

    def read(self, index: int) -> Image:
        self.reads.append(index)
        return part(index, side=self.side)


def test_references_are_read_once_and_held_as_small_as_the_method_needs_them() -> None:
    files = Files()
    images = ReferenceImages(files, 6)
    images.need(64)
    for _ in range(3):
        assert [image.shape for image in images] == [(64, 64, 3)] * 6
    assert files.reads == list(range(6))
    assert images.held_bytes == 6 * 64 * 64 * 3
    assert {(form.width, form.height) for form in images.forms} == {(256, 256)}


def test_memory_does_not_grow_with_their_number_and_the_images_stay_the_same() -> None:
    files = Files()
    limit = 3 * 64 * 64 * 3
    images = ReferenceImages(files, 40, limit_bytes=limit)
    images.need(64)
    first = [image.copy() for image in images]
    again = list(images.only(range(39, -1, -1)))
    assert images.held_bytes <= limit
    assert all(np.array_equal(one, other) for one, other in zip(first, reversed(again), strict=True))
    assert len(files.reads) == 40, "the rest comes from the temporary file"


def test_without_room_on_the_disk_they_are_read_and_reduced_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr("tempfile.tempdir", f"{tmp_path}/gone")
    files = Files()
    images = ReferenceImages(files, 4, limit_bytes=64 * 64 * 3)
    images.need(64)
    first = [image.copy() for image in images]
    assert all(np.array_equal(one, other) for one, other in zip(first, images, strict=True))
    assert len(files.reads) > 4
    assert images.held_bytes <= 64 * 64 * 3


def test_a_recipe_that_needs_more_reads_them_again() -> None:
    files = Files()
    images = ReferenceImages(files, 1)
    images.need(64)
    assert images[0].shape == (64, 64, 3)
    images.need(128)
    assert images[0].shape == (128, 128, 3)
    images.need(32)  # what is held serves as well
    assert images[0].shape == (128, 128, 3)
    images.need(None)
    assert images[0].shape == (256, 256, 3)
    assert files.reads == [0, 0, 0]


@pytest.mark.parametrize("side", [129, 200, 256, 1000])
def test_an_image_that_is_less_than_twice_as_large_stays_as_it_is(side: int) -> None:
    image = part(0, side=256)
    assert reduced(image, side) is image


def test_images_in_memory_are_given_back_as_they_are() -> None:
    given = [part(seed, side=256) for seed in range(2)]
    images = ReferenceImages.of(given)
    images.need(32)
    assert images[0] is given[0]
    assert images[1:][0] is given[1]
    assert ReferenceImages.of(images) is images
