"""``Sam``: segment-anything from a local checkpoint, boxes and points to outlines (METHODS section 3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from adapters.models.weights.local import UNTRAINED, load_into, load_state, verify
from agent.domain.errors import ModelError
from agent.domain.frame import Image

Builder = Callable[[], Any]
"""Makes a ``segment_anything.modeling.Sam`` with random weights."""


def _vit_b() -> Any:
    from segment_anything import build_sam_vit_b

    return build_sam_vit_b()


def _vit_l() -> Any:
    from segment_anything import build_sam_vit_l

    return build_sam_vit_l()


def _vit_h() -> Any:
    from segment_anything import build_sam_vit_h

    return build_sam_vit_h()


BUILDERS: Mapping[str, Builder] = MappingProxyType({"vit_b": _vit_b, "vit_l": _vit_l, "vit_h": _vit_h})
"""The published sizes."""


class _Embedded(NamedTuple):
    """The features of the last image."""

    key: str
    features: torch.Tensor
    """(1, C, h, w), float32."""
    resized: tuple[int, int]
    """(H, W) of the image inside the model's square."""


class Sam:
    """An :class:`agent.ports.Segmenter` over one of SAM's published sizes and a local checkpoint.

    The image encoder runs in ``dtype``; prompts and masks, a hundredth of the work, stay in float32.

    Args:
        architecture: a name in ``builders``.
        weights: a plain table of tensors, as the published ``.pth`` files; nothing in it is executed.
            None: random numbers, for timing alone.
        batch: most boxes decoded at once, which bounds the memory of their full-size masks.

    Raises:
        ModelError: no such architecture, or the file is missing, damaged, of another architecture or has
            another digest.
    """

    def __init__(
        self,
        architecture: str,
        weights: Path | None,
        *,
        sha256: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        batch: int = 16,
        builders: Mapping[str, Builder] = BUILDERS,
    ) -> None:
        if architecture not in builders:
            raise ModelError(f"SAM has no size {architecture!r}; there is {', '.join(builders)}")
        self.name = f"sam_{architecture}"
        self.digest = UNTRAINED if weights is None else verify(weights, sha256)
        self._device, self._dtype, self._batch = torch.device(device), dtype, batch
        self._model = builders[architecture]()
        if weights is not None:
            load_into(self._model, load_state(weights), weights, self.name)
        self._model.eval().requires_grad_(False).to(self._device)
        self._model.image_encoder.to(dtype)
        self._last: _Embedded | None = None

    @torch.inference_mode()
    def segment(
        self,
        image: Image,
        boxes: NDArray[np.float32],
        points: NDArray[np.float32] | None = None,
    ) -> NDArray[np.bool_]:
        """(n, H, W) masks, one for each of the (n, 4) boxes in pixels, each clamped to the image.

        ``points`` are (n, 2) places x, y that belong to the object in the box of the same index. A box with
        no area inside the image gets an empty mask. The image is embedded once, also for several calls in a
        row; without boxes it is not embedded at all.

        Raises:
            ModelError: the image is not (H, W, 3) uint8, a coordinate is not finite, or there are points
                and not one for each box.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ModelError(
                f"SAM takes RGB images of 8 bits, shape (H, W, 3); not {image.shape} {image.dtype}"
            )
        height, width = image.shape[:2]
        corners, places = _checked(boxes, points, width, height)
        masks = np.zeros((len(corners), height, width), dtype=np.bool_)
        asked = np.flatnonzero((corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1]))
        if not len(asked):
            return masks
        embedded = self._embed(image)
        for start in range(0, len(asked), self._batch):
            some = asked[start : start + self._batch]
            masks[some] = self._decode(
                embedded, corners[some], None if places is None else places[some], (height, width)
            )
        return masks

    def _embed(self, image: Image) -> _Embedded:
        contiguous = np.ascontiguousarray(image)
        # By content: a camera that fills the same buffer again shows another image.
        key = f"{image.shape}{hashlib.blake2b(contiguous.data, digest_size=16).hexdigest()}"
        if self._last is not None and self._last.key == key:
            return self._last
        from segment_anything.utils.transforms import ResizeLongestSide

        resized = ResizeLongestSide(self._model.image_encoder.img_size).apply_image(contiguous)
        batch = torch.from_numpy(resized).permute(2, 0, 1)[None].to(self._device).float()
        normalised = self._model.preprocess(batch).to(self._dtype)
        features = self._model.image_encoder(normalised).float()
        self._last = _Embedded(key, features, (resized.shape[0], resized.shape[1]))
        return self._last

    def _decode(
        self,
        embedded: _Embedded,
        corners: NDArray[np.float32],
        places: NDArray[np.float32] | None,
        size: tuple[int, int],
    ) -> NDArray[np.bool_]:
        scale = np.array(embedded.resized[::-1], dtype=np.float64) / np.array(size[::-1])
        boxes = torch.from_numpy(corners.reshape(-1, 2, 2) * scale).float().reshape(-1, 4).to(self._device)
        prompts = None
        if places is not None:
            coordinates = torch.from_numpy(places[:, None] * scale).float().to(self._device)
            prompts = (coordinates, torch.ones(len(places), 1, dtype=torch.int, device=self._device))
        sparse, dense = self._model.prompt_encoder(points=prompts, boxes=boxes, masks=None)
        low, _ = self._model.mask_decoder(
            image_embeddings=embedded.features,
            image_pe=self._model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        full = self._model.postprocess_masks(low, embedded.resized, size)
        decoded: NDArray[np.bool_] = (full[:, 0] > self._model.mask_threshold).cpu().numpy()
        return decoded


def _checked(
    boxes: NDArray[np.float32], points: NDArray[np.float32] | None, width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Boxes and points inside the image."""
    limits = np.array([width, height], dtype=np.float32)
    corners = np.asarray(boxes, dtype=np.float32).reshape(-1, 2, 2)
    places = None if points is None else np.asarray(points, dtype=np.float32).reshape(-1, 2)
    if places is not None and len(places) != len(corners):
        raise ModelError(f"{len(corners)} boxes have {len(places)} points; each needs one")
    if not np.isfinite(corners).all() or (places is not None and not np.isfinite(places).all()):
        raise ModelError("a box or point for SAM has a coordinate that is not a finite number")
    inside = np.clip(corners, 0, limits).reshape(-1, 4)
    return inside, None if places is None else np.clip(places, 0, limits)
