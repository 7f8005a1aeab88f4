"""``image_metrics`` and ``PixelHistogram``: figures of merit of scores and maps, as fractions of one.

Pixel figures are of a whole category and come from histograms over levels of the map. Memory does not grow
with the number of images: each pixel adds to the count of its level, each defect region adds its pixels with
the weight 1 / area. Every figure is computed exactly from these counts, so it is exact if each level stands
for one value: always for 8-bit maps. Float maps are put on 65,536 even levels between the lowest and the
highest value of the category, and pixels of one level count as tied. That moves the AUROC by at most
:attr:`PixelHistogram.auroc_slack`; on 9.2 million pixels with 6.9 to 7.9 million different values the figures
differed from those of the sorted floats by 1.7e-8 (AUROC), 4e-6 (AP), 1.7e-5 (F1-max) and 9e-8 (PRO).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

Truth = NDArray[np.bool_]
Scores = NDArray[np.float64]

RATE = 0.02
"""The escape rate at which false alarms are read off, and the other way round."""


@dataclass(frozen=True, slots=True)
class ImageMetrics:
    """How well scores rank images; None if only one class is present."""

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
    """Metrics of (n,) scores; ``truth`` is True for defective images (METHODS 0.3).

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
    """Harmonic means; 0 if both are 0."""
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


# ------------------------------------------------------------------------------------ pixels


Levels = NDArray[np.uint16] | NDArray[np.uint8]
Mask = NDArray[np.bool_]

FINE = 65_536
"""Levels of float maps."""
BYTE = 256
"""Levels of 8-bit maps."""
PRO_LIMIT = 0.3
"""PRO is integrated up to this share of false pixels."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


@dataclass(frozen=True, slots=True)
class Scale:
    """How values of a map become levels."""

    low: float
    high: float

    def levels(self, values: NDArray[np.float32] | NDArray[np.uint8]) -> Levels:
        """8-bit maps as they are; others on ``FINE`` even levels, 0 for ``low``."""
        if values.dtype == np.uint8:
            return values  # type: ignore[return-value]
        if self.high <= self.low:
            return np.zeros(values.shape, dtype=np.uint16)
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return np.rint(share.clip(0.0, 1.0) * (FINE - 1)).astype(np.uint16)

    def value(self, level: int, levels: int) -> float:
        """The map's value at a level."""
        return float(level) if levels == BYTE else self.low + (self.high - self.low) * level / (FINE - 1)


@dataclass(frozen=True, slots=True)
class PixelMetrics:
    """How well maps find defective pixels, all images of a category together."""

    pixel_auroc: float
    pixel_ap: float
    """Step-wise average precision."""
    pixel_f1max: float
    pro: float
    """Area under the mean overlap of regions against the false positive rate up to 0.3, over 0.3."""

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class PixelHistogram:
    """Counts of defective and other pixels by level, and of regions' shares by level."""

    def __init__(self, levels: int = FINE) -> None:
        self.positives = np.zeros(levels, dtype=np.int64)
        """Defective pixels at each level."""
        self.negatives = np.zeros(levels, dtype=np.int64)
        """All other pixels, those of good images included."""
        self.shares = np.zeros(levels, dtype=np.float64)
        """For each level the sum over regions of the share of their pixels that lies there."""
        self.regions = 0

    def add(self, levels: Levels, truth: Mask) -> None:
        """Count one image: (H, W) levels and its mask. Regions have 8 neighbours.

        Raises:
            ValueError: the shapes differ.
        """
        if levels.shape != truth.shape:
            raise ValueError(f"a mask of {truth.shape} does not fit a map of {levels.shape}")
        size = self.positives.size
        everything = np.bincount(levels.ravel(), minlength=size)
        defective = levels[truth]
        counted = np.bincount(defective, minlength=size)
        self.positives += counted
        self.negatives += everything - counted
        if defective.size == 0:
            return
        labels, count = ndimage.label(truth, structure=_EIGHT_NEIGHBOURS)
        inside = labels[truth]
        weights = 1.0 / np.bincount(inside, minlength=count + 1)[1:]
        self.shares += np.bincount(defective, weights=weights[inside - 1], minlength=size)
        self.regions += int(count)

    @property
    def complete(self) -> bool:
        """Whether there are both defective and other pixels: without, nothing can be ranked."""
        return bool(self.positives.any() and self.negatives.any())

    @property
    def auroc_slack(self) -> float:
        """The most that the AUROC could move if pixels of one level were distinguished."""
        tied = (self.positives * self.negatives.astype(np.float64)).sum()
        return float(0.5 * tied / (float(self.positives.sum()) * float(self.negatives.sum())))

    def metrics(self) -> PixelMetrics | None:
        """The figures (METHODS 0.3), ties merged; None if only one class of pixels is present."""
        if not self.complete:
            return None
        hits, alarms = self._descending()
        recall, precision = hits / hits[-1], hits / (hits + alarms)
        false_rate = alarms / alarms[-1]
        steps = np.diff(recall, prepend=0.0)
        return PixelMetrics(
            pixel_auroc=float(auc(_from_zero(false_rate), _from_zero(recall))),
            pixel_ap=float((steps * precision).sum()),
            pixel_f1max=float(f1_of(precision, recall).max()),
            pro=self._pro(false_rate),
        )

    def best_level(self) -> int | None:
        """The lowest level of the positive side at the highest F1; None as for :meth:`metrics`."""
        if not self.complete:
            return None
        hits, alarms = self._descending()
        best = int(f1_of(hits / (hits + alarms), hits / hits[-1]).argmax())
        return int(self._present()[::-1][best])

    def f1_at(self, levels: NDArray[np.float64]) -> float:
        """The best F1 of these thresholds alone, a pixel being positive at or above one."""
        hits = np.append(np.cumsum(self.positives[::-1])[::-1], 0)
        alarms = np.append(np.cumsum(self.negatives[::-1])[::-1], 0)
        at = np.ceil(levels).astype(int).clip(0, self.positives.size)
        found = (hits + alarms)[at]
        precision = np.divide(hits[at], found, out=np.zeros(at.size), where=found > 0)
        return float(f1_of(precision, hits[at] / hits[0]).max())

    def _present(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.positives + self.negatives)

    def _descending(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """True and false positives at each threshold that occurs, the highest first."""
        order = self._present()[::-1]
        hits = np.cumsum(self.positives[order]).astype(np.float64)
        return hits, np.cumsum(self.negatives[order]).astype(np.float64)

    def _pro(self, false_rate: NDArray[np.float64]) -> float:
        overlap = _from_zero(np.cumsum(self.shares[self._present()[::-1]]) / self.regions)
        rate = _from_zero(false_rate)
        last = int(np.searchsorted(rate, PRO_LIMIT, side="right")) - 1  # of all points up to the limit
        edge = overlap[last]
        if last + 1 < rate.size:
            slope = (overlap[last + 1] - overlap[last]) / (rate[last + 1] - rate[last])
            edge = overlap[last] + slope * (PRO_LIMIT - rate[last])
        x, y = np.append(rate[: last + 1], PRO_LIMIT), np.append(overlap[: last + 1], edge)
        return float(auc(x, y)) / PRO_LIMIT


def _from_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate(([0.0], values))
