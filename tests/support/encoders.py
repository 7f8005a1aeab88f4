"""A small, deterministic vision-language model without weights: it sees colours and reads words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from agent.domain.frame import Image
from agent.ports import ImageFeatures, ImageSize

STATISTICS = 7


class ColourEncoder:
    """An ImageTextEncoder whose patches are colour statistics and whose texts are bags of words.

    Every patch of ``patch`` x ``patch`` pixels gives the mean and deviation of its colours, which a
    seeded matrix brings to ``dimensions``; every word is a vector that its sha256 seeds. There are two
    depths: the statistics on the full grid, and their averages on a grid of half the side.
    """

    def __init__(
        self, *, dimensions: int = 32, patch: int = 8, seed: int = 0, logit_scale: float = 10.0
    ) -> None:
        self._dimensions = dimensions
        self._patch = patch
        self._logit_scale = logit_scale
        self._matrix = torch.randn(STATISTICS, dimensions, generator=torch.Generator().manual_seed(seed))
        self._digest = hashlib.sha256(self._matrix.numpy().tobytes()).hexdigest()

    @property
    def name(self) -> str:
        return "colours"

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def logit_scale(self) -> float:
        return self._logit_scale

    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        fine = torch.stack([self._statistics(image, size, keep_aspect) for image in images])
        coarse = F.avg_pool2d(fine.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        return fine, coarse

    def start_pass(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> ColourPass:
        return ColourPass(self.encode_patches(images, size, keep_aspect=keep_aspect), self._matrix)

    def encode_images(self, images: Sequence[Image], size: ImageSize) -> ImageFeatures:
        return self.start_pass(images, size).finish()

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return F.normalize(torch.stack([self._text(text) for text in texts]), dim=-1)

    def _statistics(self, image: Image, size: ImageSize, keep_aspect: bool) -> torch.Tensor:
        patch, shorter = self._patch, min(image.shape[:2])
        sides = (size, size) if isinstance(size, int) else size
        if keep_aspect:
            sides = (sides[0] * image.shape[0] // shorter, sides[0] * image.shape[1] // shorter)
        rows, columns = (side // patch for side in sides)
        target = (columns * patch, rows * patch)
        pixels = cv2.resize(image, target, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
        cells = pixels.reshape(rows, patch, columns, patch, 3)
        mean, deviation = cells.mean(axis=(1, 3)) - 0.5, cells.std(axis=(1, 3))
        constant = np.full((rows, columns, 1), 0.25, dtype=np.float32)
        return torch.from_numpy(np.concatenate([mean, deviation, constant], axis=2))

    def _text(self, text: str) -> torch.Tensor:
        vector = torch.zeros(self._dimensions)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            vector += torch.randn(self._dimensions, generator=torch.Generator().manual_seed(seed))
        return vector


class ColourPass:
    """An ImagePass over statistics."""

    def __init__(self, depths: tuple[torch.Tensor, ...], matrix: torch.Tensor) -> None:
        self.depths = depths
        self._matrix = matrix

    def finish(self, rows: Sequence[int] | None = None) -> ImageFeatures:
        depths = tuple(depth[slice(None) if rows is None else list(rows)] for depth in self.depths)
        projected = depths[0] @ self._matrix
        patches = F.normalize(projected, dim=-1)
        return ImageFeatures(F.normalize(projected.mean(dim=(1, 2)), dim=-1), patches, depths)
