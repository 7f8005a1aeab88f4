"""Figures of merit for scores against truth, as fractions of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImageMetrics:
    """How well scores rank pictures; None where only one class is present."""

    image_auroc: float | None
    image_aupr: float | None
    """Trapezoid area under the precision-recall curve, as FADE and WinCLIP report it."""
    image_ap: float | None
    """Step-wise average precision."""
    image_f1max: float | None
    images: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON."""
        return asdict(self)


def image_metrics(truth: Truth, scores: Scores) -> ImageMetrics:
    """Metrics of (n,) scores; ``truth`` is True where the picture is defective (METHODS 0.3)."""
    if truth.shape != scores.shape:
        raise ValueError(f"{truth.size} labels do not fit {scores.size} scores")
    if truth.all() or not truth.any():
        return ImageMetrics(None, None, None, None, int(truth.size))
    precision, recall, _ = precision_recall_curve(truth, scores)
    both = precision + recall
    f1 = np.divide(2.0 * precision * recall, both, out=np.zeros_like(both), where=both > 0.0)
    return ImageMetrics(
        image_auroc=float(roc_auc_score(truth, scores)),
        image_aupr=float(auc(recall, precision)),
        image_ap=float(average_precision_score(truth, scores)),
        image_f1max=float(f1.max()),
        images=int(truth.size),
    )


def pixel_auroc(truth: Truth, scores: Scores, *, bins: int = 4096) -> float | None:
    """AUROC over all pixels of all pictures, good ones included.

    Scores are sorted into ``bins`` between their extremes, so that a whole category needs no sorted
    copy of all its pixels; ties inside a bin count half. None where only one class is present.
    """
    positives, negatives = scores[truth], scores[~truth]
    if positives.size == 0 or negatives.size == 0:
        return None
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        return 0.5
    above = np.histogram(positives, bins=bins, range=(low, high))[0]
    below = np.histogram(negatives, bins=bins, range=(low, high))[0]
    beaten = np.cumsum(below) - 0.5 * below
    return float((above * beaten).sum() / (positives.size * negatives.size))
