"""Encoders, Detector, Segmenter and Tagger: images and words to features, boxes, masks and tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image

if TYPE_CHECKING:
    import torch  # only in annotations: commands that need no model start quickly


ImageSize = int | tuple[int, int]
"""What images are resized to in pixels: the side of a square, or (height, width), each rounded to the nearest
multiple that the network takes."""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """The result of one pass of an image tower over a batch of B images."""

    image: torch.Tensor
    """(B, D) image embeddings of unit length, comparable with text."""
    patches: torch.Tensor
    """(B, h, w, D) patch embeddings of unit length, comparable with text."""
    depths: tuple[torch.Tensor, ...]
    """Patch features of several depths, each (B, h_i, w_i, C_i), as the tower returns them."""


class ImagePass(Protocol):
    """A batch of B images on its way through an image tower, as far as the depths.

    What words are compared with lies behind the depths, and is computed for those images that need it.
    """

    @property
    def depths(self) -> tuple[torch.Tensor, ...]:
        """Patch features of several depths, each (B, h_i, w_i, C_i), as the tower returns them."""
        ...

    def finish(self, rows: Sequence[int] | None = None) -> ImageFeatures:
        """The features of these images of the batch, in this order; None: of all. Computed at each call."""
        ...


class PatchEncoder(Protocol):
    """A backbone whose patch features are compared with those of references (few-shot)."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str:
        """sha256 over the weights: equal digests give equal features, but for the rounding of the runtime
        that computes them, which moves scores by less than 0.001."""
        ...

    def encode_patches(
        self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False
    ) -> tuple[torch.Tensor, ...]:
        """Patch features of several depths, each (B, h_i, w_i, C_i); images resized to ``size``.

        With ``keep_aspect`` their shorter side becomes ``size``, a number, and the rest beyond the last whole
        patch is cut off at the right and at the bottom. Then the images of one batch have one shape.
        """
        ...


class ImageTextEncoder(PatchEncoder, Protocol):
    """A vision-language model: images and words in one space of D dimensions (CLIP)."""

    @property
    def dimensions(self) -> int: ...

    @property
    def logit_scale(self) -> float:
        """The factor on cosines that the model was trained with (100 for CLIP: temperature 0.01)."""
        ...

    def start_pass(self, images: Sequence[Image], size: ImageSize, *, keep_aspect: bool = False) -> ImagePass:
        """The pass of :meth:`encode_images` as far as the depths; sizes as in :meth:`encode_patches`."""
        ...

    def encode_images(self, images: Sequence[Image], size: ImageSize) -> ImageFeatures:
        """One pass at ``size`` for images of any sizes."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, D) text embeddings of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class WindowFeatures:
    """Embeddings of all windows of one side length over the grid of patches."""

    embeddings: torch.Tensor
    """(B, n, D) unit vectors comparable with text."""
    covered: torch.Tensor
    """(n, k) which patches each window covers, counted row by row."""


@dataclass(frozen=True, slots=True)
class WindowPass:
    """What WinCLIP needs from a batch of B images."""

    image: torch.Tensor
    """(B, D) image embeddings of unit length."""
    patches: torch.Tensor
    """(B, h, w, C) patch tokens of the last block, normalised by its layer norm, before the projection."""
    windows: tuple[WindowFeatures, ...]
    """One for each side length asked for."""


class WindowEncoder(ImageTextEncoder, Protocol):
    """A vision-language model that can look at windows of patches (WinCLIP)."""

    def encode_windows(self, images: Sequence[Image], size: ImageSize, sides: Sequence[int]) -> WindowPass:
        """Images resized to ``size``; windows of side x side patches at every place (stride 1).

        Raises ModelError if the image tower is not a vision transformer, or a window exceeds its grid.
        """
        ...


@dataclass(frozen=True, slots=True)
class Detections:
    """The boxes that a detector found in one image, the highest score first."""

    boxes: NDArray[np.float32]
    """(n, 4) x0, y0, x1, y1 in pixels of the image."""
    scores: NDArray[np.float32]
    """(n,) in [0, 1]."""
    phrases: tuple[str, ...]
    """The words of the caption that each box matches."""

    def __post_init__(self) -> None:
        if not len(self.boxes) == len(self.scores) == len(self.phrases):
            raise ValueError("each box has one score and one phrase")


class Detector(Protocol):
    """Open-vocabulary detection: words to boxes (Grounding DINO)."""

    @property
    def digest(self) -> str: ...

    def detect(
        self,
        images: Sequence[Image],
        phrases: Sequence[Sequence[str]],
        *,
        box_threshold: float,
        text_threshold: float,
    ) -> list[Detections]:
        """Boxes for the phrases of each image, before any suppression.

        Phrases that do not fit the text encoder together are asked in several passes, never cut.
        """
        ...


class Segmenter(Protocol):
    """Boxes and points to outlines (SAM)."""

    @property
    def digest(self) -> str: ...

    def segment(
        self,
        image: Image,
        boxes: NDArray[np.float32],
        points: NDArray[np.float32] | None = None,
    ) -> NDArray[np.bool_]:
        """(n, H, W) masks of the (n, 4) boxes in pixels, with one (n, 2) point each if given.

        The image is embedded once, however many boxes there are, and not at all without boxes.
        """
        ...


class Tagger(Protocol):
    """Names what an image shows."""

    def tags(self, image: Image, most: int) -> tuple[str, ...]:
        """At most so many words, the likeliest first."""
        ...
