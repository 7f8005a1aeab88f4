"""Image-level figures of merit for scores against truth, as fractions of one."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]

RATE = 0.02
"""The escape rate at which false alarms are read off, and the other way round."""


@dataclass(frozen=True, slots=True)
class ImageMetrics:
    """How well scores rank images; None where only one class is present."""

    image_auroc: float | None
    image_aupr: float | None
    """Trapezoid area under the precision-recall curve, as FADE and WinCLIP report it."""
    image_ap: float | None
    """Step-wise average precision."""
    image_f1max: float | None
    false_alarms_at_2pct_escapes: float | None
    """Share of good images rejected at the strictest threshold that lets at most 2 % of the
    defective ones pass."""
    escapes_at_2pct_false_alarms: float | None
    """Share of defective images passed at the loosest threshold that rejects at most 2 % of the
    good ones."""
    images: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON."""
        return asdict(self)


def image_metrics(truth: Truth, scores: Scores) -> ImageMetrics:
    """Metrics of (n,) scores; ``truth`` is True where the image is defective (METHODS 0.3).

    Raises:
        ValueError: labels and scores differ in number.
    """
    if truth.shape != scores.shape:
        raise ValueError(f"{truth.size} labels do not fit {scores.size} scores")
    if truth.all() or not truth.any():
        return ImageMetrics(None, None, None, None, None, None, int(truth.size))
    precision, recall, _ = precision_recall_curve(truth, scores)
    false_alarms, escapes = _rates(truth, scores)
    return ImageMetrics(
        image_auroc=float(roc_auc_score(truth, scores)),
        image_aupr=float(auc(recall, precision)),
        image_ap=float(average_precision_score(truth, scores)),
        image_f1max=float(f1_of(precision, recall).max()),
        false_alarms_at_2pct_escapes=false_alarms,
        escapes_at_2pct_false_alarms=escapes,
        images=int(truth.size),
    )


def f1_of(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonic means; 0 where both are 0."""
    both = precision + recall
    return np.divide(2.0 * precision * recall, both, out=np.zeros_like(both), where=both > 0.0)


def _rates(truth: Truth, scores: Scores) -> tuple[float, float]:
    """False alarms at 2 % escapes and the reverse, at thresholds that exist: nothing between two
    scores is interpolated, so that the figure is one that a line could really be run at."""
    false_alarm_rate, hit_rate, _ = roc_curve(truth, scores, drop_intermediate=False)
    good, defective = int((~truth).sum()), int(truth.sum())
    false_alarms = np.rint(false_alarm_rate * good)
    escaped = defective - np.rint(hit_rate * defective)
    fewest_alarms = false_alarms[escaped <= RATE * defective].min() / good
    fewest_escapes = escaped[false_alarms <= RATE * good].min() / defective
    return float(fewest_alarms), float(fewest_escapes)
