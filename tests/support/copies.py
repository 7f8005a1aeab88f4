"""``COPIES``: ways in which one image comes twice, for tests of duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from agent.domain.frame import Image


def recompressed(image: Image) -> Image:
    """The same file saved as JPEG once more, quality 60."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 60))
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def halved(image: Image) -> Image:
    """At half the size."""
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def moved(image: Image) -> Image:
    """A pixel to the right and half a pixel down."""
    matrix = np.array([[1, 0, 1.0], [0, 1, 0.5]])
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def exposed_again(image: Image) -> Image:
    """The same part lying still: other noise, 1 % more light."""
    noise = np.random.default_rng(0).normal(0.0, 2.0, image.shape)
    return np.clip(image * 1.01 + noise + 0.5, 0, 255).astype(np.uint8)


COPIES: Mapping[str, Callable[[Image], Image]] = {
    "saved as JPEG again": recompressed,
    "half the size": halved,
    "moved by a pixel": moved,
    "exposed again": exposed_again,
}
"""By what happened to the image."""
