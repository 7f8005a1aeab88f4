"""``Figure``: areas under the ROC curve and their intervals, from scores as the record keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2_000
"""Resamples of a bootstrap."""
SHARE = 0.95
"""Of the resamples that an interval holds."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its interval; without one if a single product says nothing of others."""

    value: float
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.2f}-{self.high:.2f})"


def wins(kinds: Sequence[str | None], draws: Sequence[Sequence[float]], only: str | None = None) -> Floats:
    """(good, defective) how often the defective one scores higher, ties half, in the mean of the draws.

    Its mean is the AUROC. ``only`` keeps the defective images of one kind.

    Raises:
        ValueError: there is no good or no such defective image, or a score is missing.
    """
    good = [index for index, kind in enumerate(kinds) if kind is None]
    wanted = [index for index, kind in enumerate(kinds) if kind is not None and only in (None, kind)]
    if not good or not wanted:
        raise ValueError("an AUROC needs good and defective images")
    scores = np.asarray(draws, dtype=np.float64)
    if scores.shape[1:] != (len(kinds),):
        raise ValueError(f"{scores.shape[1:]} scores do not fit {len(kinds)} images")
    high, low = scores[:, None, wanted], scores[:, good, None]
    matrix: Floats = ((high > low) + 0.5 * (high == low)).mean(0)
    return matrix


def auroc(kinds: Sequence[str | None], draws: Sequence[Sequence[float]], only: str | None = None) -> float:
    """The mean over draws of the area under the ROC curve. Raises ValueError as :func:`wins`."""
    return float(wins(kinds, draws, only).mean())


def over_products(families: Sequence[Sequence[float]], seed: int) -> Figure:
    """The mean over families of the mean over products, with a bootstrap over the products of each family.

    One fewer than there are is drawn from each family: so the spread is that of the mean even if products
    are few (Rao and Wu 1988). No interval if every family has a single product.

    Raises:
        ValueError: there is no product.
    """
    groups = [np.asarray(each, dtype=np.float64) for each in families if len(each)]
    if not groups:
        raise ValueError("a mean needs at least one product")
    value = float(np.mean([group.mean() for group in groups]))
    if all(len(group) == 1 for group in groups):
        return Figure(value)
    rng = np.random.default_rng([seed, 1])
    means = [_resampled(group, rng) for group in groups]
    return Figure(value, *_ends(np.mean(means, axis=0)))


def _resampled(group: Floats, rng: np.random.Generator) -> Floats:
    """(ROUNDS,) means of resamples of one family."""
    if len(group) == 1:
        return np.full(ROUNDS, group[0])
    drawn: Floats = group[rng.integers(len(group), size=(ROUNDS, len(group) - 1))].mean(1)
    return drawn


def over_images(products: Sequence[Floats], seed: int) -> Figure:
    """The mean over products of the mean of :func:`wins` (or of a difference of two), with a bootstrap over
    the images of each product, good and defective ones apart.

    Raises:
        ValueError: there is no product.
    """
    if not products:
        raise ValueError("a mean needs at least one product")
    rng = np.random.default_rng([seed, 2])
    resampled = []
    for matrix in products:
        good, defective = matrix.shape
        rows = rng.multinomial(good, np.full(good, 1 / good), ROUNDS) / good
        columns = rng.multinomial(defective, np.full(defective, 1 / defective), ROUNDS) / defective
        resampled.append(((rows @ matrix) * columns).sum(1))
    value = float(np.mean([matrix.mean() for matrix in products]))
    return Figure(value, *_ends(np.mean(resampled, axis=0)))


def _ends(means: Floats) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)
