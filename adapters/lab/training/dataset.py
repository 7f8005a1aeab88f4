"""``render_pool`` and ``batches``: drawn images on disk, and seeded random crops of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Image = NDArray[np.uint8]

_AHEAD = 8
"""Batches drawn ahead of the step that takes them."""

RESERVED_SEED = 1_000_000
"""Training draws below it; demo, tests and evaluation at and above it."""


def render_pool(path: Path, count: int, size: int, draw: Callable[[int], Image]) -> NDArray[np.uint8]:
    """(count, size, size, 3) images ``draw(0) ... draw(count - 1)`` as a memory-mapped ``.npy`` file.

    A finished file is reused: drawing is a function of the index alone.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        pool = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(count, size, size, 3))
        for index in range(count):
            pool[index] = draw(index)
        pool.flush()
        del pool
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def crop(image: Image, size: int, rng: np.random.Generator) -> Image:
    """A square crop of 60 to 100 % of the side, flipped and transposed at random, resized to ``size``."""
    side = image.shape[0]
    take = max(8, round(side * rng.uniform(0.6, 1.0)))
    top, left = rng.integers(0, side - take + 1, 2)
    part = image[top : top + take, left : left + take]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if rng.random() < 0.5:
        part = part.transpose(1, 0, 2)
    shrink = cv2.INTER_AREA if take > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=shrink), np.uint8)


def shown_at(images: torch.Tensor, side: int) -> torch.Tensor:
    """(B, 3, H, W) levels in [0, 1] to (B, 3, side, side), resized as encoders resize frames."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)


def colour_jitter(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Gain and offset, one for each image and channel, on (B, 3, H, W) in [0, 1]."""
    count = len(batch)
    gain = 1 + 0.15 * torch.randn(count, 3, 1, 1, generator=generator)
    gain = gain * (1 + 0.15 * torch.randn(count, 1, 1, 1, generator=generator))
    offset = 0.08 * torch.randn(count, 3, 1, 1, generator=generator)
    return (batch * gain + offset).clamp(0, 1)


def colour_jitter_together(batch: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """The same, with one gain and offset for each run of ``count`` images."""
    runs = batch.unflatten(0, (-1, count)).transpose(1, 2)  # (B / count, 3, count, H, W)
    return (
        colour_jitter(runs.flatten(2, 3), generator).unflatten(2, (count, -1)).transpose(1, 2).flatten(0, 1)
    )


def mix(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image blended with its neighbour, weights uniform in [0, 1]."""
    weight = torch.rand(len(batch), 1, 1, 1, generator=generator)
    return batch * weight + batch.roll(1, 0) * (1 - weight)


def batches(
    pools: Sequence[NDArray[np.uint8]], steps: Iterable[int], batch: int, size: int, seed: int
) -> Iterator[torch.Tensor]:
    """A batch (B, 3, size, size) in [0, 1] for each step, drawn from the pools in equal shares by a thread.

    A batch follows from the seed and the number of its step alone, so that a run may go on anywhere.
    """

    def drawn(step: int) -> Image:
        rng = np.random.default_rng([seed, step, 0xDA7A])
        chosen = [pools[index % len(pools)] for index in range(batch)]
        return np.stack([crop(pool[rng.integers(len(pool))], size, rng) for pool in chosen])

    with ThreadPoolExecutor(1) as drawing:
        ahead: deque[Future[Image]] = deque()
        for step in steps:
            ahead.append(drawing.submit(drawn, step))
            if len(ahead) > _AHEAD:
                yield _fractions(ahead.popleft().result())
        while ahead:
            yield _fractions(ahead.popleft().result())


def _fractions(images: Image) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
