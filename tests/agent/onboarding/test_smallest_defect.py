"""How small a spot a recipe finds, measured on synthetic defects of its references."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe, Reference, template_recipe
from agent.domain.tiling import TileGrid
from agent.enrollment.enroll import Enrolled, enroll
from agent.enrollment.progress import Progress
from agent.inference.inspector import Inspector
from agent.methods.prepared import Groups, Prepared, PreparedRecipe, Scored
from agent.onboarding.smallest_defect import FOUND, TRIES, SmallestDefect, smallest_defect

WIDTH, HEIGHT, CELLS = 480, 320, 16


@dataclass(frozen=True, slots=True)
class CellsPrepared(PreparedRecipe):
    bank: NDArray[np.float64]

    def without(self, references: Collection[int]) -> Self:
        return replace(self, bank=np.delete(self.bank, sorted(references), axis=0))


class Cells:
    """A method of 16 x 16 cells with noise in each, as the features of a network have: what is much smaller
    than a cell is lost in it."""

    digest = fingerprint = "cells"

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> CellsPrepared:
        return CellsPrepared(recipe, np.array([self._cells(image) for image in references]))

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        return [self._score(image, one) for image, one in zip(images, prepared, strict=True)]

    def _score(self, image: Image, prepared: Prepared) -> Scored:
        assert isinstance(prepared, CellsPrepared)
        return Scored(float(np.abs(prepared.bank - self._cells(image)).min(axis=0).max()))

    def _cells(self, image: Image) -> NDArray[np.float64]:
        noise = np.random.default_rng(zlib.crc32(image.tobytes())).normal(0.0, 2.0, (CELLS, CELLS))
        means = cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA).mean(axis=2)
        return np.asarray(means + noise, np.float64)


def plate(seed: int) -> Image:
    """A good part that fills its image: grey, with a pattern."""
    pattern = 20.0 * ((np.arange(WIDTH)[None, :] // 16 + np.arange(HEIGHT)[:, None] // 16) % 2)
    noise = np.random.default_rng(seed).normal(0.0, 3.0, (HEIGHT, WIDTH, 3))
    return np.clip(120.0 + pattern[..., None] + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector(Cells())


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return [plate(seed) for seed in range(9)]


def enrolled(inspector: Inspector, images: list[Image], **parameters: Parameter) -> Enrolled:
    references = tuple(Reference(f"{i:064x}", f"{i}.png", str(i)) for i in range(len(images)))
    recipe = replace(template_recipe("A", "cells"), references=references, parameters=parameters)
    return enroll(inspector, recipe, images, policy=CalibrationPolicy(0.01))


def seen(inspector: Inspector, images: list[Image], **parameters: Parameter) -> SmallestDefect:
    return smallest_defect(inspector, enrolled(inspector, images, **parameters).prepared, images)


def test_tiles_show_smaller_defects(inspector: Inspector, images: list[Image]) -> None:
    whole, tiled = seen(inspector, images), seen(inspector, images, tiles="3x2")
    assert whole.size is not None
    assert tiled.size is not None
    assert tiled.size <= 0.75 * whole.size
    for one in (whole, tiled):
        assert one.tried == TRIES
        assert one.found >= FOUND * TRIES
        assert (one.width, one.height) == (WIDTH, HEIGHT)
    assert (whole.side, tiled.side) == (480, 172)


class Watched(Progress):
    """Counts what is done of the most."""

    done = most = 0

    def step(self, what: str, total: int) -> None:
        self.most = total

    def advance(self) -> None:
        self.done += 1


def test_the_same_references_give_the_same_size_and_stay_as_they_are(
    inspector: Inspector, images: list[Image]
) -> None:
    before = [image.copy() for image in images]
    made = enrolled(inspector, images, tiles="2x1").prepared
    watched = Watched()
    one = smallest_defect(inspector, made, images, progress=watched)
    assert one == smallest_defect(inspector, made, images)
    assert all(np.array_equal(a, b) for a, b in zip(before, images, strict=True))
    assert 0 < watched.done <= watched.most


def test_the_tiles_for_a_size_are_the_fewest_that_are_about_square() -> None:
    found = SmallestDefect(100, 9, 10, 4200, 2800, TileGrid(), 0.0)
    assert str(found.finer(100)) == "2x1"
    assert str(found.finer(50)) == "3x2", "tiles of 1,400 pixels show a third of 100 pixels"
    assert str(found.finer(20)) == "6x4"
    assert found.finer(1) is None, "more tiles than there may be"
    assert replace(found, size=None).finer(50) is None


def test_what_is_measured_needs_a_threshold(inspector: Inspector, images: list[Image]) -> None:
    few = images[:3]
    with pytest.raises(RecipeError, match="has no threshold"):
        smallest_defect(inspector, enrolled(inspector, few).prepared, few)


def test_images_too_small_for_a_defect_are_said_to_be(inspector: Inspector) -> None:
    tiny = [plate(seed)[:12, :12] for seed in range(9)]
    found = seen(inspector, tiny)
    assert (found.size, found.tried) == (None, 0)
