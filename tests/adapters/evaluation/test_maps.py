"""Masks are read raw: nothing that is not zero may get lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapters.evaluation.maps import read_mask, resize_mask
from agent.domain.errors import ConfigurationError

TRUTH = np.zeros((6, 8), dtype=bool)
TRUTH[1:3, 1:4] = True


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_kind_of_mask(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "mask.png"
    if mode == "P":
        image = Image.fromarray(TRUTH.astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 1, 0, 0])  # class 1 is all but black
    elif mode == "I;16":
        image = Image.fromarray(TRUTH.astype(np.uint16) * 3)  # less than one step of 8 bits
    else:
        image = Image.fromarray(TRUTH.astype(np.uint8) * 255).convert(mode)
    image.save(path)
    assert (read_mask(path) == TRUTH).all()


def test_values_above_a_threshold(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 1, 128, 129]], np.uint8)).save(path)
    assert read_mask(path).tolist() == [[False, True, True, True]]
    assert read_mask(path, above=128).tolist() == [[False, False, False, True]]


def test_a_mask_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("no image")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_mask(tmp_path / "mask.png")
    with pytest.raises(ConfigurationError, match="is missing"):
        read_mask(tmp_path / "other.png")


def test_resizing_down_is_antialiased_and_cut_above_one_half() -> None:
    half = np.zeros((8, 8), dtype=bool)
    half[:, :4] = True
    assert resize_mask(half, 4).tolist() == [[True, True, False, False]] * 4
    speck = np.zeros((64, 64), dtype=bool)
    speck[32, 32] = True
    assert not resize_mask(speck, 8).any()
    assert resize_mask(speck, 8, smooth=False).sum() <= 1


def test_resizing_to_the_same_size_changes_nothing() -> None:
    square = np.eye(5, dtype=bool)
    assert (resize_mask(square, 5) == square).all()
