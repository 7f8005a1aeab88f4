"""A detector, a segmenter and a tagger without weights: answers that a test writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.domain.frame import Image
from agent.ports import Detections

Box = tuple[float, float, float, float]


class WrittenDetector:
    """Finds for each phrase the boxes and scores that were written down, in every image."""

    digest = "d" * 64

    def __init__(self, answers: Mapping[str, Sequence[tuple[Box, float]]]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, ...]] = []

    def detect(
        self,
        images: Sequence[Image],
        phrases: Sequence[Sequence[str]],
        *,
        box_threshold: float,
        text_threshold: float,
    ) -> list[Detections]:
        assert len(images) == len(phrases)
        self.asked += [tuple(each) for each in phrases]
        return [self._found(each, box_threshold) for each in phrases]

    def _found(self, phrases: Sequence[str], threshold: float) -> Detections:
        rows = [
            (box, score, phrase)
            for phrase in phrases
            for box, score in self._answers.get(phrase, ())
            if score > threshold
        ]
        rows.sort(key=lambda row: -row[1])
        return Detections(
            np.array([row[0] for row in rows], dtype=np.float32).reshape(-1, 4),
            np.array([row[1] for row in rows], dtype=np.float32),
            tuple(row[2] for row in rows),
        )


class FillingSegmenter:
    """Outlines a box by all of its pixels."""

    digest = "e" * 64

    def __init__(self) -> None:
        self.calls = 0

    def segment(
        self, image: Image, boxes: NDArray[np.float32], points: NDArray[np.float32] | None = None
    ) -> NDArray[np.bool_]:
        self.calls += 1
        masks = np.zeros((len(boxes), *image.shape[:2]), dtype=bool)
        for mask, box in zip(masks, boxes, strict=True):
            x0, y0, x1, y1 = (round(float(side)) for side in box)
            mask[y0:y1, x0:x1] = True
        return masks


class WrittenTagger:
    """Tags that were written down, one tuple for each image asked in turn; then the last again."""

    digest = "f" * 64

    def __init__(self, *tags: tuple[str, ...]) -> None:
        self._tags = tags
        self.images: list[Image] = []
        self.most: list[int] = []

    def tags(self, image: Image, most: int) -> tuple[str, ...]:
        self.images.append(image)
        self.most.append(most)
        return self._tags[min(len(self.images), len(self._tags)) - 1][:most]
