"""``report``: the evaluation as JSON, figures summed up over seeds and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from adapters.evaluation.evaluate import Figures

Runs = Mapping[str, Sequence[Figures]]
"""Figures of each category, one entry for each seed."""

COUNT = "images"
"""Not averaged over categories but added up."""


def report(
    runs: Runs,
    *,
    dataset: str,
    root: str,
    method: str,
    shots: int,
    seeds: Sequence[int],
    profile: str,
    machine: str,
    published: Figures | None,
) -> dict[str, Any]:
    """Ready for ``json.dumps``; every rate is a fraction of one.

    A category's figures are means over its seeds. ``mean`` is the unweighted mean over categories
    (``images`` their sum), then over seeds; ``std`` the sample deviation of that mean over seeds, empty
    with fewer than two.
    """
    by_seed = [over_categories([one[index] for one in runs.values()]) for index in range(_seeds(runs))]
    return {
        "dataset": dataset,
        "root": root,
        "method": method,
        "shots": shots,
        "seeds": list(seeds) if shots else [],
        "profile": profile,
        "machine": machine,
        "categories": {name: _whole(mean_of(one)) for name, one in runs.items()},
        "mean": _whole(mean_of(by_seed)),
        "std": deviation_of(by_seed),
        "published": published,
    }


def over_categories(figures: Sequence[Figures]) -> dict[str, float | int | None]:
    """Unweighted means over categories that have the figure; images are added up."""
    means: dict[str, float | int | None] = dict(mean_of(figures))
    means[COUNT] = sum(int(one.get(COUNT) or 0) for one in figures)
    return means


def mean_of(figures: Sequence[Figures]) -> dict[str, float | None]:
    """The mean of each figure over those that have it."""
    return {key: _mean([one.get(key) for one in figures]) for key in _keys(figures)}


def deviation_of(figures: Sequence[Figures]) -> dict[str, float]:
    """The sample deviation of each figure that two or more have."""
    result: dict[str, float] = {}
    for key in _keys(figures):
        values = [float(value) for one in figures if (value := one.get(key)) is not None]
        if len(values) > 1 and key != COUNT:
            result[key] = stdev(values)
    return result


def _whole(figures: dict[str, float | None]) -> dict[str, float | int | None]:
    """Images are whole, also where draws leave out different numbers of them."""
    count = figures.get(COUNT)
    return {**figures, **({} if count is None else {COUNT: round(count)})}


def _seeds(runs: Runs) -> int:
    return max((len(one) for one in runs.values()), default=0)


def _keys(figures: Sequence[Figures]) -> list[str]:
    return list(dict.fromkeys(key for one in figures for key in one))


def _mean(values: Sequence[float | int | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None
