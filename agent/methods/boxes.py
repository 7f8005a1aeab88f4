"""``clamp``, ``suppress`` and others: arithmetic on (n, 4) boxes of x0, y0, x1, y1 in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.ports import Detections

Boxes = NDArray[np.float32] | NDArray[np.float64]


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """(n,) areas in square pixels; 0 for a box whose sides are swapped."""
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    widths = np.clip(corners[:, 2] - corners[:, 0], 0, None)
    heights = np.clip(corners[:, 3] - corners[:, 1], 0, None)
    return np.asarray(widths * heights, dtype=np.float64)


def clamp(boxes: Boxes, width: int, height: int) -> NDArray[np.float32]:
    """The boxes cut to the image; a box beyond its border becomes a line or a point."""
    corners = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return np.clip(corners, 0, np.array([width, height, width, height], dtype=np.float32))


def non_maximum_suppression(
    boxes: Boxes, scores: NDArray[np.floating], threshold: float = 0.5
) -> NDArray[np.intp]:
    """Indices of the boxes that stay, the highest score first; phrases play no part (METHODS section 3.2).

    A box is dropped if its intersection over union with a better one is strictly above ``threshold``: at
    equality it stays. Of equal scores the earlier box is the better one.

    Raises:
        ValueError: there is not one score for each box.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if len(corners) != len(scores):
        raise ValueError(f"{len(corners)} boxes have {len(scores)} scores; each needs one")
    own = areas(corners)
    waiting = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        common = _intersections(corners[best], corners[waiting])
        # intersection > threshold * union, undivided: no box without area divides by zero, and at equality
        # no rounding of a quotient decides.
        waiting = waiting[~(common > threshold * (own[best] + own[waiting] - common))]
    return np.array(kept, dtype=np.intp)


def suppress(detections: Detections, threshold: float = 0.5) -> Detections:
    """Detections after class-agnostic :func:`non_maximum_suppression`."""
    return select(detections, non_maximum_suppression(detections.boxes, detections.scores, threshold))


def select(detections: Detections, which: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
    """Some of the detections, by indices in the order wanted or by a mask."""
    indices = np.arange(len(detections.scores))[which]
    return Detections(
        boxes=detections.boxes[indices],
        scores=detections.scores[indices],
        phrases=tuple(detections.phrases[index] for index in indices),
    )


def _intersections(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=1), dtype=np.float64)
