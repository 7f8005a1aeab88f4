"""Preprocessing: images become batches of tensors."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch

from adapters.models.encoders.normalisation import SIGNED_PREPROCESSING
from adapters.models.encoders.preprocessing import prepare, resize
from agent.domain.errors import ModelError

CPU = torch.device("cpu")


@pytest.mark.parametrize(("height", "width"), [(300, 120), (20, 33), (64, 64)])
def test_resizing_is_pillows_antialiased_bicubic(height: int, width: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = np.asarray(PIL.Image.fromarray(image).resize((64, 64), PIL.Image.Resampling.BICUBIC))
    own = resize(image, 64).permute(1, 2, 0).numpy()
    assert own.dtype == np.uint8
    assert np.abs(own.astype(int) - expected).max() <= 2


def test_range_and_order_of_channels() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 255
    batch = prepare([image], 4, SIGNED_PREPROCESSING, CPU, torch.float32)
    assert batch.shape == (1, 3, 4, 4)
    assert torch.equal(batch[0, :, 0, 0], torch.tensor([1.0, -1.0, -1.0]))


def test_views_and_read_only_images_are_taken() -> None:
    image = np.random.default_rng(2).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    image.flags.writeable = False
    flipped = image[:, ::-1]
    assert torch.equal(resize(flipped, 20), resize(np.ascontiguousarray(flipped), 20))
    assert torch.equal(resize(image, 10), resize(image.copy(), 10))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="RGB"):
        resize(np.zeros(shape, np.uint8), 4)
    with pytest.raises(ModelError, match="at least one"):
        prepare([], 4, SIGNED_PREPROCESSING, CPU, torch.float32)
